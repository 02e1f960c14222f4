"""Errors of ClickHouse by their consequence."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver import exceptions
from urllib3.exceptions import ProtocolError

from sinks.clickhouse.driver_errors import translate, translate_garbled
from sinks.clickhouse.error_codes import FATAL, REFUSED_ROWS, RETRYABLE
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, RefusedRows, Retryable, SinkError

TARGET = Target.parse("http://user:s3cret@h:1", timeout=1)


def an_error(kind, code):
    """An error of the client with a server's code."""
    error = kind("Code: x\nsecond line")
    error.code = code
    return error


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_a_retryable_code_has_its_pause(code):
    """Every listed retryable code is Retryable with its own pause."""
    found = translate(an_error(exceptions.DatabaseError, code), TARGET)
    assert type(found) is Retryable
    assert found.retry_after == RETRYABLE[code].pause
    assert 0 < found.retry_after <= 10


@pytest.mark.parametrize("code", sorted(REFUSED_ROWS))
def test_an_error_of_the_rows_is_refused_rows(code):
    """Every listed code of invalid rows is RefusedRows."""
    assert type(translate(an_error(exceptions.DatabaseError, code), TARGET)) is RefusedRows


def test_no_code_has_two_consequences():
    """A code is in one table only."""
    assert len({*RETRYABLE, *REFUSED_ROWS, *FATAL}) == len(RETRYABLE) + len(REFUSED_ROWS) + len(FATAL)


@pytest.mark.parametrize("code", sorted(FATAL))
def test_a_fatal_code_has_its_remedy(code):
    """The message of a fatal code says what has to be done."""
    found = translate(an_error(exceptions.DatabaseError, code), TARGET)
    assert type(found) is Fatal
    assert str(found) == f"ClickHouse at h:1: Code: x. {FATAL[code].remedy}"


def test_a_statement_that_was_cut_names_the_limit():
    """A limit on the length of statements arrives as a syntax error; the remedy is about the limit, not the release."""
    error = exceptions.DatabaseError(
        "Code: 62. DB::Exception: Max query size exceeded (...): Syntax error: failed at position 300."
    )
    error.code = 62
    found = translate(error, TARGET)
    assert type(found) is Fatal
    assert str(found).endswith("A limit in the profile of this user is too low for portalpulse. Raise it.")


def test_every_line_has_its_source():
    """Each line says where ClickHouse raises the code and why it has this consequence; names are ClickHouse's."""
    for line in (*RETRYABLE.values(), *REFUSED_ROWS.values(), *FATAL.values()):
        assert len(line.source) > 10, line
        assert line.name.isupper(), line


@pytest.mark.parametrize("code", [36, 43, 49, 99, 457, 1002, 10**6, *sorted(FATAL)])
def test_everything_else_stops(code):
    """Errors of permissions, schema and settings, and unlisted codes, are Fatal."""
    for kind in (exceptions.DatabaseError, exceptions.OperationalError):
        assert type(translate(an_error(kind, code), TARGET)) is Fatal


@pytest.mark.parametrize(
    "error",
    [
        exceptions.OperationalError("no answer"),
        ProtocolError("broken off"),
        exceptions.DatabaseError("HTTP driver received HTTP status 502, server response: Bad Gateway"),
        ConnectionResetError("reset"),
        ConnectionRefusedError("refused"),
        BrokenPipeError("pipe"),
        TimeoutError("timed out"),
    ],
)
def test_no_answer_at_all_is_retryable(error):
    """Without an answer there is no code: the same call may succeed later."""
    assert type(translate(error, TARGET)) is Retryable


@pytest.mark.parametrize(
    "error", [exceptions.ProgrammingError("x"), exceptions.InterfaceError("x"), exceptions.DatabaseError("x")]
)
def test_a_misuse_of_the_client_stops(error):
    """An error of the client without a code is Fatal."""
    assert type(translate(error, TARGET)) is Fatal


def test_the_text_is_one_line_and_names_the_server():
    """The message names the server without the password, in one bounded line."""
    text = str(translate(an_error(exceptions.DatabaseError, 1), TARGET))
    assert text == "ClickHouse at h:1: Code: x"
    assert len(str(translate(exceptions.DatabaseError("x" * 10_000), TARGET))) < 600
    wrapped = "Received ClickHouse exception, code: 6, server response: Code: 6. X. (Y) (version 1.2) (for url http://h:1)"
    assert str(translate(exceptions.DatabaseError(wrapped), TARGET)) == "ClickHouse at h:1: Code: 6. X. (Y)"
    broken = "Error Remote end closed connection without response executing HTTP request attempt 1 (http://h:1)"
    assert str(translate(exceptions.OperationalError(broken), TARGET)) == (
        "ClickHouse at h:1: Remote end closed connection without response"
    )
    assert str(translate(exceptions.DatabaseError(""), TARGET)) == "ClickHouse at h:1: DatabaseError"


def test_the_tree():
    """Every error of a destination has the same base."""
    assert issubclass(Retryable, SinkError)
    assert issubclass(RefusedRows, SinkError)
    assert issubclass(Fatal, SinkError)
    assert Retryable("x").retry_after > 0


def test_an_odd_error_of_the_embedded_engine_is_told_as_it_is(tmp_path):
    """Nothing is between a command and its own engine: no proxy is blamed for a descriptor that it lacks."""
    text = "Code: 573. DB::ErrnoException: Cannot open epoll descriptor: , errno: 24, strerror: Too many open files."
    embedded = Target(1.0, folder=tmp_path)
    found = str(translate_garbled(RuntimeError(text), embedded, "migrate"))
    assert found == f"{embedded.display_name}: {text}"
    assert "proxy" in str(translate_garbled(RuntimeError(text), TARGET, "migrate"))
