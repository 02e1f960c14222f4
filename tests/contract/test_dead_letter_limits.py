"""The counts of the dead-letter limit survive their worker: on the embedded engine, a real server and the double."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.contract.dead_letters import DeadLetterCheckpoint, DeadLetterLimitState
from tests.fakes import MemoryStore

TOPIC = "it's \\ a topic"


@pytest.fixture(params=["memory", "embedded", pytest.param("served", marks=pytest.mark.integration)])
def limits(request):
    """Each store in turn."""
    if request.param == "memory":
        return MemoryStore()
    return ClickHouseDeadLetterLimits(request.getfixturevalue(request.param))


def at(offset, run=0, *groups, topic=TOPIC, partition=0):
    """A checkpoint."""
    return DeadLetterCheckpoint(topic, partition, offset, run, groups)


def test_nothing_is_known_at_first(limits):
    """Without checkpoints and acceptances a count starts at zero."""
    assert limits.limit_state(TOPIC, 0, before=100) == DeadLetterLimitState(None, -1, 0)
    limits.insert_checkpoints([])
    assert limits.limit_state(TOPIC, 0, before=100) == DeadLetterLimitState(None, -1, 0)


def test_the_latest_checkpoint_below_an_offset_counts(limits):
    """A count starts from the latest checkpoint below its first message, of the same topic and partition."""
    limits.insert_checkpoints([at(9, 2, (10, 2)), at(19, 12, (10, 2), (10, 10)), at(50, 99, partition=1), at(51, 98, topic="x")])
    limits.insert_checkpoints([at(29)])
    assert limits.limit_state(TOPIC, 0, before=9).checkpoint is None
    assert limits.limit_state(TOPIC, 0, before=10).checkpoint == at(9, 2, (10, 2))
    assert limits.limit_state(TOPIC, 0, before=20).checkpoint == at(19, 12, (10, 2), (10, 10))
    assert limits.limit_state(TOPIC, 0, before=2**62) == DeadLetterLimitState(at(29), 29, 0)
    state = limits.limit_state(TOPIC, 0, before=5)
    assert (state.newest, state.newest_run) == (29, limits.limit_state(TOPIC, 0, before=30).checkpoint.run)


def test_a_checkpoint_written_again_replaces_the_one_before(limits):
    """Of two checkpoints at one offset the later one counts, merged or not."""
    limits.insert_checkpoints([at(9, 7, (10, 7)), at(5, 3)])
    limits.insert_checkpoints([at(9, 0, (10, 1))])
    assert limits.limit_state(TOPIC, 0, before=10).checkpoint == at(9, 0, (10, 1))


def test_many_partitions_at_once(limits):
    """A batch with the maximum number of partitions of a topic, each with the longest window, is stored completely."""
    groups = tuple((3_125 - number, 3_000) for number in range(66))
    limits.insert_checkpoints([at(10**12, 2**40, *groups, partition=partition) for partition in range(1_024)])
    for partition in (0, 1_023):
        found = limits.limit_state(TOPIC, partition, before=2**62).checkpoint
        assert found == at(10**12, 2**40, *groups, partition=partition)


def test_what_was_accepted_stays_accepted(limits):
    """Accepting is idempotent, only increases the offset, and applies to one partition."""
    limits.accept(TOPIC, 0, 500)
    limits.accept(TOPIC, 0, 500)
    limits.accept(TOPIC, 0, 400)
    assert limits.limit_state(TOPIC, 0, before=1).accepted_until == 500
    assert limits.limit_state(TOPIC, 1, before=1).accepted_until == 0
    assert limits.limit_state("x", 0, before=1).accepted_until == 0


@pytest.mark.parametrize("form", ["embedded", pytest.param("served", marks=pytest.mark.integration)])
def test_nothing_of_a_topic_applies_to_another_with_its_name(request, form):
    """After a topic is created again, checkpoints and acceptances of the one before neither stop a worker nor let it continue."""
    clickhouse = request.getfixturevalue(form)
    old, new, unknown = (
        ClickHouseDeadLetterLimits(clickhouse, topic_id=lambda _topic, name=name: name) for name in ("a", "b", "")
    )
    old.insert_checkpoints([at(9, 7, (10, 7)), at(90, 8, (10, 8))])
    old.accept(TOPIC, 0, 500)
    assert new.limit_state(TOPIC, 0, before=100) == DeadLetterLimitState(None, -1, 0)
    new.insert_checkpoints([at(9, 1, (10, 1))])
    assert new.limit_state(TOPIC, 0, before=100) == DeadLetterLimitState(at(9, 1, (10, 1)), 9, 0, 1)
    # Without Kafka an acceptance is for the messages that a worker counted last.
    unknown.accept(TOPIC, 0, 50)
    assert new.limit_state(TOPIC, 0, before=100).accepted_until == 50
    assert old.limit_state(TOPIC, 0, before=100) == DeadLetterLimitState(at(90, 8, (10, 8)), 90, 500, 8)


@pytest.mark.parametrize("form", ["embedded", pytest.param("served", marks=pytest.mark.integration)])
def test_what_an_older_version_kept_still_applies(request, form):
    """Rows without a topic id hold for any topic of the name."""
    clickhouse = request.getfixturevalue(form)
    before, now = ClickHouseDeadLetterLimits(clickhouse), ClickHouseDeadLetterLimits(clickhouse, topic_id=lambda _topic: "a")
    before.insert_checkpoints([at(9, 7, (10, 7))])
    before.accept(TOPIC, 0, 5)
    assert now.limit_state(TOPIC, 0, before=100) == DeadLetterLimitState(at(9, 7, (10, 7)), 9, 5, 7)


@pytest.mark.integration
def test_the_cost_does_not_depend_on_the_number_of_checkpoints(served, monkeypatch):
    """Reading the state reads a few granules of the table, not all checkpoints."""
    served.command(
        "test",
        "INSERT INTO dead_letter_checkpoints (topic, partition, offset, run) "
        "SELECT 'many', number % 4, number, 1 FROM numbers(1_000_000)",
    )
    driver, read = served._client(None), []
    query = driver.query

    def counted(*arguments, **options):
        answer = query(*arguments, **options)
        read.append(int(answer.summary["read_rows"]))
        return answer

    monkeypatch.setattr(driver, "query", counted)
    state = ClickHouseDeadLetterLimits(served).limit_state("many", 2, before=500_000)
    assert state == DeadLetterLimitState(at(499_998, 1, topic="many", partition=2), 999_998, 0, 1)
    assert len(read) == 4  # three queries and the check for row policies
    assert max(read) < 100_000


#: A worker has counted partition 3 up to offset 69. An embedded storage has a process of its own.
KNOWN = """
from pipeline.settings import load_settings
from pipeline.wiring.storage import opened_storage
from sinks.contract.dead_letters import DeadLetterCheckpoint
with opened_storage(load_settings()) as storage:
    known = DeadLetterCheckpoint("dvc.dossier-events.v1", 3, 69, 0, ())
    storage.dead_letter_limits(lambda _topic: "").insert_checkpoints([known])
"""


@pytest.mark.long
def test_accepting_while_no_process_runs(tmp_path, commands):
    """With an embedded storage that no process has open the command accepts by itself, any number of times."""
    folder = tmp_path / "clickhouse"

    environment = {
        "PATH": "/usr/bin:/bin",
        "PORTALPULSE_CLICKHOUSE__URL": f"chdb:{folder}",
        "PORTALPULSE_HTTP__PORT": "1",
        "PORTALPULSE_KAFKA__BOOTSTRAP": "127.0.0.1:9",  # nobody listens there
    }

    def portalpulse(*arguments):
        return commands(*arguments, environment=environment)

    accepting = ("dead-letters", "accept", "--partition", "3", "--data", str(tmp_path))
    missing = portalpulse(*accepting, "--until", "70")
    assert missing.returncode == 2
    assert "No stack runs" in missing.stderr
    assert portalpulse("migrate").returncode == 0
    known = subprocess.run(
        [sys.executable, "-c", KNOWN], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert known.returncode == 0, known.stderr
    beyond = portalpulse(*accepting, "--until", "9223372036854775807")
    assert beyond.returncode == 2
    assert "Without Kafka, --until may be at most 70." in " ".join(beyond.stderr.split())
    for until, accepted in ((70, 70), (9, 70)):
        done = portalpulse(*accepting, "--until", str(until))
        assert done.returncode == 0, done.stderr
        text = f"Partition 3 of dvc.dossier-events.v1: messages below offset {accepted} may be dead-lettered without a limit.\n"
        assert done.stdout == text
