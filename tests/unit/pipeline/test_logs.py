"""What is written at each level: our own lines, and those of the libraries."""

from __future__ import annotations

import logging

import pytest

from pipeline.logs import configure_logging, get_logger
from pipeline.settings import LogSettings

LEVELS = ("debug", "info", "warning", "error")


@pytest.fixture(autouse=True)
def _levels_as_before():
    """Leave the levels of the libraries' loggers as they were."""
    yield
    for name in ("some_library", "aiokafka.conn", "faust.app"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", LEVELS, LEVELS),
        ("info", LEVELS[1:], LEVELS[2:]),
        ("warning", LEVELS[2:], LEVELS[2:]),
        ("error", LEVELS[3:], LEVELS[3:]),
    ],
)
def test_what_a_level_writes(capsys, level, ours, theirs, form):
    """Our lines follow the level; the libraries' begin with warnings, unless the level is debug."""
    configure_logging(LogSettings(level=level, format=form))
    for severity in LEVELS:
        getattr(get_logger("test"), severity)(f"ours-{severity}")
        getattr(logging.getLogger("faust.app"), severity)(f"theirs-{severity}")
    written = capsys.readouterr().err
    assert [severity for severity in LEVELS if f"ours-{severity}" in written] == list(ours)
    assert [severity for severity in LEVELS if f"theirs-{severity}" in written] == list(theirs)


@pytest.mark.parametrize(("level", "written"), [("debug", True), ("info", False), ("warning", False), ("error", False)])
def test_a_silenced_library_writes_at_debug_only(capsys, level, written):
    """What a library repeats many times a second belongs to those who look for a fault."""
    configure_logging(LogSettings(level=level), silenced="some_library")
    for name in ("some_library", "some_library.cluster"):
        logging.getLogger(name).error("line of %s", name)
        assert (f"line of {name}" in capsys.readouterr().err) == written
    logging.getLogger("faust.app").error("line of another")
    assert "line of another" in capsys.readouterr().err


@pytest.mark.parametrize("level", LEVELS)
def test_requests_to_kafka_are_never_written(capsys, level):
    """Aiokafka writes every request at debug, the one that proves the password included: no level shows it."""
    configure_logging(LogSettings(level=level))
    logging.getLogger("aiokafka.conn").debug("Request: SaslAuthenticateRequest(sasl_auth_bytes=b'secret')")
    assert "secret" not in capsys.readouterr().err
