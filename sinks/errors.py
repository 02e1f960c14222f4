"""Errors of a destination, named by what the caller must do.

SinkError
|- Retryable        wait ``retry_after`` seconds, offer the same again, acknowledge nothing meanwhile
|- RefusedRows      these rows can never be stored: set them aside, go on with the rest
`- Fatal            nobody knows whether waiting or skipping would help: stop, Kafka keeps the events
"""


class SinkError(Exception):
    """Base of every error that a destination raises."""


class Retryable(SinkError):  # noqa: N818 - named by consequence
    """The destination is away, busy or full for now."""

    def __init__(self, cause: str, *, retry_after: float = 0.5) -> None:
        super().__init__(cause)
        self.retry_after = retry_after


class RefusedRows(SinkError):  # noqa: N818
    """The destination understood the rows and will never take at least one of them."""


class Fatal(SinkError):  # noqa: N818
    """Anything not foreseen, and everything that only a person can mend (rights, settings, schema)."""
