"""Structured logging on stderr, for people or machines: each line has a constant event name and fields."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import stamina.instrumentation
import structlog

if TYPE_CHECKING:
    from stamina.instrumentation import RetryDetails
    from structlog.typing import FilteringBoundLogger, Processor

    from pipeline.settings import LogSettings


#: Never written below ``info``: at debug it writes every request to Kafka as it is sent, and with it the password.
_LOGS_SECRETS = "aiokafka.conn"
#: Logger of the client that senders use. Senders log once what it repeats while brokers are unavailable.
SENDING_LIBRARY = "aiokafka"


def configure_logging(settings: LogSettings, *, silenced: str | None = None) -> None:
    """Set up structlog, and send the log lines of libraries (Faust, aiokafka) through it. Call it once, at start.

    Libraries log from ``warning`` on; at the level ``debug`` they log everything. Their ``info`` lines do not help in operation.

    Args:
        settings: level and form of log lines.
        silenced: logger of a library that logs only at the level ``debug``, because the program itself reports the same once.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
    logging.getLogger(_LOGS_SECRETS).setLevel(max(root.level, logging.INFO))
    if silenced is not None:
        logging.getLogger(silenced).setLevel(root.level if level <= logging.DEBUG else logging.CRITICAL + 1)
    stamina.instrumentation.set_on_retry_hooks((_log_retry,))


def log_on_stderr() -> None:
    """Log only warnings and errors, on stderr, until ``configure_logging`` is called. structlog's default is all, on stdout."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _log_retry(details: RetryDetails) -> None:
    """Log that a call is repeated, but only at the repetitions 1, 2, 4, 8 and so on, because an outage may last hours."""
    if details.retry_num & (details.retry_num - 1) == 0:
        get_logger("retry").warning(
            "call_repeated",
            reason=str(details.caused_by) or repr(details.caused_by),
            repetition=details.retry_num,
            waited_seconds=round(details.waited_so_far, 1),
        )


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines have the field ``component`` with the value ``name``."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger
