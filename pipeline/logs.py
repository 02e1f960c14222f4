"""Structured logging: constant event names with fields, on stderr, for people or for machines."""

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
    """Set up structlog and route the standard library's loggers (Faust, aiokafka) through it. Call once, at start.

    Libraries write from ``warning`` on, and everything at ``debug``: their lines at ``info`` do not help in daily operation.

    Args:
        settings: level and form of the lines.
        silenced: logger of a library that writes at ``debug`` only, because the program itself says what it would repeat.
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
    """Write warnings on stderr until ``configure_logging`` is called: structlog's own default is everything, on stdout."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _log_retry(details: RetryDetails) -> None:
    """Log that a call is repeated, at repetition 1, 2, 4, 8 and so on: an outage may last hours."""
    if details.retry_num & (details.retry_num - 1) == 0:
        get_logger("retry").warning(
            "call_repeated",
            reason=str(details.caused_by) or repr(details.caused_by),
            repetition=details.retry_num,
            waited_seconds=round(details.waited_so_far, 1),
        )


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose entries carry ``component=name``."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger
