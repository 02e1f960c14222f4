"""docs/errors.md against the tables in the code."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.ingest.storage_retry import BACKOFF_LIMIT
from pipeline.kafka import errors as kafka_errors
from sinks.clickhouse.error_codes import FATAL, REFUSED_ROWS, RETRYABLE

PAGE = (Path(__file__).parent.parent / "docs" / "errors.md").read_text(encoding="utf-8")


def lines_below(heading):
    """The table lines of a section, without the head of the table."""
    section = PAGE.split(f"\n{heading}\n", maxsplit=1)[1].split("\n#", maxsplit=1)[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_the_page_shows_every_code_of_clickhouse():
    """Each table of docs/errors.md has the lines of the code, in order, and no other."""
    assert lines_below("### Wait and repeat") == [
        f"| {code} | `{line.name}` | {line.pause:g} | {line.source} |" for code, line in sorted(RETRYABLE.items())
    ]
    assert lines_below("### Dead-letter these rows") == [
        f"| {code} | `{line.name}` | {line.source} |" for code, line in sorted(REFUSED_ROWS.items())
    ]
    assert lines_below("### Stop") == [
        f"| {code} | `{line.name}` | {line.source} | {line.remedy} |" for code, line in sorted(FATAL.items())
    ]


def test_the_page_shows_every_code_of_kafka():
    """The same for Kafka's codes and the errors of its two clients."""
    assert lines_below("### Ask again") == [
        f"| {code} | `{line.name}` | {'yes' if line.retriable else 'no'} | {line.source} |"
        for code, line in sorted(kafka_errors.RETRYABLE.items())
    ]
    assert lines_below("### Stop and say so") == [
        f"| {code} | `{line.name}` | {line.source} | {line.remedy} |" for code, line in sorted(kafka_errors.FATAL.items())
    ]
    assert lines_below("### Errors of the clients that pass") == [
        *(f"| aiokafka | `{kind.__name__}` | {source} |" for kind, source in kafka_errors.OF_AIOKAFKA.items()),
        *(f"| librdkafka | `{name}` | {source} |" for name, source in kafka_errors.OF_LIBRDKAFKA.values()),
    ]


def test_the_page_names_the_cap():
    """The longest pause of the page is the one of the code."""
    assert re.search(rf"up to {BACKOFF_LIMIT:g} s", PAGE)
