"""The tables of Kafka's error codes against the one that Kafka's own jars print."""

from __future__ import annotations

import re
import subprocess

import pytest

from deploy.native.programs import java_home, kafka_libraries
from pipeline.kafka.errors import FATAL, RETRYABLE


@pytest.fixture(scope="module")
def official():
    """Code -> (name, retriable), as printed by Kafka's class that defines them."""
    printed = subprocess.run(
        [java_home() / "bin" / "java", "-cp", f"{kafka_libraries()}/*", "org.apache.kafka.common.protocol.Errors"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    rows = re.findall(r"<tr>(.*?)</tr>", printed, re.DOTALL)
    cells = [[cell.strip() for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)] for row in rows]
    return {int(code): (name, retriable == "True") for name, code, retriable, *_ in (row for row in cells if row)}


def test_every_passing_code_is_kafkas(official):
    """Names and retriable flags of the codes after which a worker retries are Kafka's own."""
    assert len(official) > 100
    assert {code: (line.name, line.retriable) for code, line in RETRYABLE.items()} == {code: official[code] for code in RETRYABLE}


def test_every_stopping_code_is_kafkas(official):
    """Names of the codes that stop a worker are Kafka's own, and none of them is retriable."""
    assert {code: (line.name, False) for code, line in FATAL.items()} == {code: official[code] for code in FATAL}
