"""Errors of a storage, named by what the caller must do.

SinkError
|- Retryable        wait ``retry_after`` seconds, make the same call again, acknowledge nothing in between
|- RefusedRows      these rows can never be stored: dead-letter them and store the rest
`- Fatal            neither waiting nor skipping is known to help: stop; Kafka keeps the events
"""


class SinkError(Exception):
    """Base of every error that a storage raises."""


class Retryable(SinkError):  # noqa: N818 - named by consequence
    """The storage is unavailable, busy or full at the moment."""

    def __init__(self, cause: str, *, retry_after: float = 0.5) -> None:
        super().__init__(cause)
        self.retry_after = retry_after


class RefusedRows(SinkError):  # noqa: N818
    """The storage understood the rows and will never store at least one of them."""


class Fatal(SinkError):  # noqa: N818
    """The storage cannot go on: an unknown error, or one that only a person can fix (permissions, settings, schema)."""
