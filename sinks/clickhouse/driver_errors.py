"""Errors of the driver, of the HTTP client below it and of ClickHouse, translated into the errors of ``sinks.errors``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from clickhouse_connect.driver import exceptions as driver_exceptions
from urllib3.exceptions import HTTPError

from sinks.clickhouse.error_codes import FATAL, QUERY_CUT, QUERY_CUT_REMEDY, REFUSED_ROWS, RETRYABLE
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, RefusedRows, Retryable, SinkError

#: What a call can raise: the driver's own errors, and those of the connection that the driver does not catch.
DRIVER_ERRORS: Final = (driver_exceptions.Error, HTTPError, OSError)
#: The label of the metric for each kind of error.
OUTCOMES: Final[dict[type[SinkError], str]] = {Retryable: "retryable", RefusedRows: "refused", Fatal: "unknown"}

#: Without a code these mean that ClickHouse did not answer: connection refused, reset, timed out or broken off.
_NO_ANSWER = (driver_exceptions.OperationalError, HTTPError, OSError)
#: A proxy that cannot reach ClickHouse reports it by the status alone, which the driver keeps only in the text.
_GATEWAY = re.compile(r"received HTTP status (?:408|429|502|503|504)\b")
#: What the driver and the server write around the error itself.
_WRAPPING = re.compile(r"^Received ClickHouse exception, code: \d+, server response: | \(version [^)]*\)| \(for url [^)]*\)$")
#: What the driver writes around the cause when a connection breaks.
_BROKEN_CONNECTION = re.compile(r"^Error (.*) executing HTTP request attempt \d+ \(http[^)]*\)$")
#: What urllib3 and the driver write around the cause when there is no connection.
_CONNECTION = re.compile(
    r"HTTPS?ConnectionPool\([^)]*\): (?:Max retries exceeded .*Caused by \w+\(['\"]?(?:<[^>]*>|\w*\([^)]*\)): )?"
    r"(.*?)(?:['\"]?\)\))?(?: executing HTTP request attempt .*)?$"
)


def translate(error: Exception, target: Target) -> SinkError:
    """Translate an error of a call into a ``SinkError``; see ``sinks.clickhouse.error_codes``.

    A code not listed there gives ``Fatal``.
    """
    code = getattr(error, "code", None)
    text = f"{target.display_name}: {_first_line(error)}"
    if code in RETRYABLE:
        return Retryable(text, retry_after=RETRYABLE[code].pause)
    if code in REFUSED_ROWS:
        return RefusedRows(text)
    if code is None and (isinstance(error, _NO_ANSWER) or _GATEWAY.search(text)):
        return Retryable(text)
    if QUERY_CUT in text:
        return Fatal(f"{text.rstrip('.')}. {QUERY_CUT_REMEDY}")
    if code in FATAL:
        return Fatal(f"{text.rstrip('.')}. {FATAL[code].remedy}")
    return Fatal(text)


def code_of(error: SinkError) -> int | None:
    """ClickHouse's code of a translated error; None when no server answered, or the error did not come from a server."""
    return getattr(error.__cause__, "code", None)


def translate_garbled(error: Exception, target: Target, operation: str) -> SinkError:
    """Translate an error of parsing an answer: ``Retryable`` if the answer broke off, ``Fatal`` if ClickHouse never sends it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _NO_ANSWER):
            return Retryable(f"{target.display_name}: {_first_line(cause)}")
        cause = cause.__cause__ or cause.__context__
    if target.folder is not None:  # nothing is in between: the engine raises errors of other types than a server's
        return Fatal(f"{target.display_name}: {_first_line(error)}")
    return Fatal(
        f"{target.display_name}: an answer arrived that ClickHouse does not give ({operation}; {type(error).__name__}: {error})."
        " Let no proxy in between change answers, and use a release of ClickHouse that docs/guarantees.md names."
    )


def require_empty(summary: Mapping[str, str], target: Target, operation: str) -> None:
    """Check that the server confirms that an empty answer is empty, because an answer that was cut off may have no bytes either.

    Args:
        summary: the header X-ClickHouse-Summary of the answer.
        target: the server.
        operation: names the call.

    Raises:
        Fatal: the summary is missing, or counts rows.
    """
    if "read_rows" in summary and summary.get("result_rows", "0") == "0":
        return
    found = f"{summary['result_rows']} rows" if "result_rows" in summary else "no summary of its own"
    raise Fatal(
        f"{target.display_name}: an empty answer arrived ({operation}), and ClickHouse sent {found} with it."
        " Let no proxy in between change answers or remove headers."
    )


def _first_line(error: BaseException) -> str:
    lines = _BROKEN_CONNECTION.sub(r"\1", str(error).strip()).splitlines()
    if lines and (found := _CONNECTION.search(lines[0])):
        return found[1]
    return _WRAPPING.sub("", lines[0])[:500] if lines else type(error).__name__
