"""What the doctor says of each answer of a part, and that no part hides another or lets the command hang."""

from __future__ import annotations

import datetime as dt
import threading
from types import SimpleNamespace

import pytest
import yaml

from dashboards.rules.generate import RULES_INFO, RuleTiming, render, rules_version
from dashboards.rules.storage import storage_alerts
from deploy.native.doctor import alerting, broker, storage
from deploy.native.doctor.checks import Check, run_checks
from deploy.native.doctor.clocks import Clocks, Reading
from deploy.native.doctor.finding import Finding, as_json
from deploy.native.doctor.numbers import size, span
from deploy.native.doctor.retention import Kept, kept_findings
from domain.errors import UnavailableError
from pipeline.audit.topic_log import Partition
from pipeline.kafka.broker_state import LogDisk
from sinks.contract.servers import Disk, ReplicaTable

GB = 10**9


def quiet(_parts):
    """Nobody watches."""


# ---- side by side


def test_a_part_that_hangs_is_told_and_hides_none():
    """A part without an answer in its time is a finding; the findings of the others stand in their order."""
    released = threading.Event()
    checks = [
        Check("Broker", lambda: [Finding("Broker", "ok", "answers")]),
        Check("ClickHouse", lambda: released.wait() and []),
        Check("Prometheus", lambda: [Finding("Prometheus", "ok", "answers")]),
    ]
    try:
        found = run_checks(checks, pending=quiet, seconds=0.5)
    finally:
        released.set()
    assert [(finding.part, finding.state) for finding in found] == [
        ("Broker", "ok"),
        ("ClickHouse", "wrong"),
        ("Prometheus", "ok"),
    ]
    assert found[1].says == "was not examined within 0.5 s"


def test_parts_are_examined_side_by_side():
    """Two parts that wait for each other both end: they are not examined one after the other."""
    meeting = threading.Barrier(2)

    def meet():
        meeting.wait(timeout=30)
        return [Finding("Part", "ok", "met")]

    assert [finding.says for finding in run_checks([Check("one", meet), Check("two", meet)], pending=quiet)] == ["met", "met"]


def test_an_unforeseen_error_is_a_finding():
    """An examination that fails unforeseen says so with the place in the code; no traceback ends the command."""

    def fail():
        raise KeyError("brand-new")

    def refuse():
        raise UnavailableError("It is gone.", remedy="Start it.")

    found = run_checks([Check("One", fail), Check("Two", refuse)], pending=quiet)
    assert [finding.state for finding in found] == ["wrong", "wrong"]
    assert "KeyError in test_doctor_parts.py" in found[0].says
    assert (found[1].says, found[1].remedy) == ("It is gone.", "Start it.")


def test_what_is_pending_is_told():
    """Who waits is told which parts are still examined."""
    told = []
    second = threading.Event()
    checks = [Check("One", list), Check("Two", lambda: second.wait(30) and [])]

    def pending(parts):
        told.append(list(parts))
        if parts == ["Two"]:
            second.set()

    run_checks(checks, pending=pending)
    assert told[0] == ["One", "Two"]
    assert ["Two"] in told


def test_the_json_has_the_time():
    """A finding has the time since when it is so, or null."""
    since = dt.datetime(2026, 11, 28, 5, 0, tzinfo=dt.UTC)
    found = as_json([Finding("A", "wrong", "x", "y", since), Finding("B", "ok", "z")])
    assert found == {
        "healthy": False,
        "findings": [
            {"part": "A", "state": "wrong", "says": "x", "remedy": "y", "since": "2026-11-28T05:00:00+00:00"},
            {"part": "B", "state": "ok", "says": "z", "remedy": "", "since": None},
        ],
    }


# ---- clocks


def clocks(*readings):
    """The finding about these clocks: (ahead, in a cluster)."""
    made = Clocks()
    for number, (ahead, in_cluster) in enumerate(readings):
        made.add(Reading(f"m{number}", ahead, 0.1, in_cluster))
    return made.findings()


@pytest.mark.parametrize(
    ("readings", "state"),
    [
        ([(0.9, True), (0.2, True)], "ok"),
        ([(0.7, True), (-0.6, True)], "wrong"),  # each is right by itself, and they differ by more than a second
        ([(0.6, True), (-0.6, True)], "ok"),  # 1.2 s, of which 0.2 are not certain
        ([(5.0, True), (5.2, True)], "note"),  # they agree; this machine is wrong
        ([(1.0, False)], "ok"),
        ([(-1.2, False), (0.0, False)], "note"),
    ],
)
def test_clocks(readings, state):
    """Servers of a cluster must agree to a second; any other clock that differs is worth knowing."""
    (found,) = clocks(*readings)
    assert found.state == state, found


def test_no_clock_was_read():
    """Where nothing answers nothing is said."""
    assert clocks() == []


def test_a_wrong_clock_of_this_machine_is_guessed():
    """When all others differ from this machine, the sentence says whose clock it may be."""
    (found,) = clocks((5.0, True), (5.2, True))
    assert "this machine seems to be wrong" in found.says


# ---- storage


@pytest.mark.parametrize(("free", "state"), [(100, "ok"), (99, "wrong")])
def test_disks_of_the_storage(free, state):
    """Less than a tenth free is a fault; only the disks that lack space are named then."""
    (found,) = storage.disks_findings("ClickHouse: disks", [Disk("hot", free * GB, 1000 * GB), Disk("cold", 900 * GB, 1000 * GB)])
    assert found.state == state
    assert ("cold" in found.says) == (state == "ok")


def test_the_limit_of_disks_is_that_of_the_alert():
    """Doctor and alerts say the same of a disk."""
    assert RuleTiming.production().disk_free_ratio == storage.DISK_FREE_RATIO == broker.DISK_FREE_RATIO
    assert any(f"< {storage.DISK_FREE_RATIO:g}" in rule["expr"] for rule in storage_alerts(RuleTiming.production()))


def replica(**changes):
    """A replicated table that is up to date."""
    return ReplicaTable("dossiers", **({
        "readonly": False, "readonly_since": None, "expired": False, "delay": 0, "queue": 0, "oldest": None, "error": "",
    } | changes))  # fmt: skip


def test_replicas():
    """Tables that are read-only or late are told with the time since when; none is not a fault before the first migration."""
    since = dt.datetime(2026, 11, 28, 5, 0, tzinfo=dt.UTC)
    (found,) = storage.replicas_findings("r", [replica(), replica(readonly=True, readonly_since=since)])
    assert (found.state, found.since) == ("wrong", since)
    (found,) = storage.replicas_findings("r", [replica(delay=31, queue=4, oldest=since, error="Cannot fetch"), replica(delay=30)])
    assert (found.state, found.since) == ("wrong", since)
    assert found.says == "1 tables are behind, dossiers by 31 s with 4 entries in its queue: Cannot fetch"
    assert storage.replicas_findings("r", [replica(delay=30)])[0].state == "ok"
    assert storage.replicas_findings("r", [])[0].state == "note"


# ---- Kafka


def topic(*parts):
    """A topic as librdkafka describes it: (leader, replicas, copies in sync) of each partition."""
    made = {
        n: SimpleNamespace(leader=leader, replicas=[1] * all_, isrs=[1] * here) for n, (leader, all_, here) in enumerate(parts)
    }
    return SimpleNamespace(partitions=made)


@pytest.mark.parametrize(
    ("parts", "state", "words"),
    [
        ([(1, 3, 3)], "ok", "1 have a leader and 3 copies each"),
        ([(1, 3, 3), (2, 3, 2)], "wrong", "1 of 2 lack a copy that is up to date: t/1"),
        ([(-1, 3, 2), (2, 3, 2)], "wrong", "1 of 2 have no leader: t/0"),
    ],
)
def test_partitions(parts, state, words):
    """Partitions without a leader are told before those that lack a copy."""
    (found,) = broker.partitions_findings({"t": topic(*parts)})
    assert (found.state, found.says) == (state, words)


@pytest.mark.parametrize(
    ("parts", "members", "state"),
    [
        ([Partition(0, 0, 10, 10)], 1, "ok"),
        ([Partition(0, 0, 10, 4)], 1, "ok"),
        ([Partition(0, 0, 10, 10)], 0, "note"),
        ([Partition(0, 0, 10, None)], 0, "note"),  # before the first start
        ([Partition(0, 0, 10, 4)], 0, "wrong"),
    ],
)
def test_the_group(parts, members, state):
    """Messages that wait are a fault when a group that has read has no worker any more."""
    assert broker.group_finding("portalpulse", parts, members).state == state


def test_disks_of_brokers():
    """A disk that failed is told before those that are nearly full, and these with their brokers."""
    good, full = LogDisk(1, "/a", 500 * GB, 1000 * GB), LogDisk(2, "/b", 99 * GB, 1000 * GB)
    assert broker.disks_findings([good])[0].state == "ok"
    (found,) = broker.disks_findings([good, full])
    assert (found.state, "broker 2: 99.0 GB" in found.says, "broker 1" in found.says) == ("wrong", True, False)
    (found,) = broker.disks_findings([good, full, LogDisk(3, "/c", 0, 0, "KafkaStorageError")])
    assert found.says == "out of order: broker 3, /c (KafkaStorageError)"
    assert broker.disks_findings([LogDisk(1, "/a", -1, -1)])[0].state == "ok"  # a broker that does not tell


WEEK = Kept(7 * 86_400.0, compacted=False)


@pytest.mark.parametrize(
    ("part", "old", "state", "words"),
    [
        (Partition(0, 0, 100, 100), {}, "ok", "topics keep messages for 7 d or longer"),
        (Partition(0, 40, 100, 40), {("t", 0): 40}, "ok", "nothing was deleted"),
        (Partition(0, 40, 100, 39), {}, "wrong", "1 offsets were deleted before the group read them"),
        (Partition(0, 0, 100, 10), {("t", 0): 30}, "wrong", "20 unread messages are older than half"),
        (Partition(0, 0, 100, None), {("t", 0): None}, "wrong", "100 unread messages are older than half"),
        (Partition(0, 50, 100, 90), {("t", 0): 70}, "ok", "nothing was deleted"),
    ],
)
def test_retention(part, old, state, words):
    """What was deleted unread is a fault, and so is what waits for more than half of the time for which it is kept."""
    (found,) = kept_findings([part], only="t", kept={"t": WEEK}, old=old)
    assert found.state == state
    assert words in found.says


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "604800000"}, WEEK),
        ({"cleanup.policy": "delete", "retention.ms": "-1"}, Kept(None, compacted=False)),
        ({"cleanup.policy": "compact", "retention.ms": "604800000"}, Kept(None, compacted=True)),
        ({"cleanup.policy": "compact,delete", "retention.ms": "604800000"}, Kept(7 * 86_400.0, compacted=True)),
    ],
)
def test_what_a_topic_keeps(settings, kept):
    """The age counts only where messages are deleted by age; compaction is known."""
    assert Kept.of(settings) == kept


def test_a_compacted_topic_is_a_fault():
    """The key is the dossier: compaction deletes all its events but the newest."""
    (found,) = kept_findings([Partition(0, 0, 1, 1)], only="t", kept={"t": Kept(None, compacted=True)}, old={})
    assert (found.state, found.remedy.startswith("Set cleanup.policy=delete")) == ("wrong", True)


# ---- alerting


def loaded(**changes):
    """The rules as Prometheus lists them."""
    groups = [group for text in render(RuleTiming.production()).values() for group in yaml.safe_load(text)["groups"]]
    rules = [
        {"name": rule.get("alert") or rule["record"], "labels": rule.get("labels", {}), "health": "ok"}
        for group in groups
        for rule in group["rules"]
    ]
    return [{"rules": [rule | changes.get(rule["name"], {}) for rule in rules if changes.get(rule["name"], {}) is not None]}]


def test_rules():
    """Rules that are missing, cannot be evaluated, or are of another release are told apart."""
    (found,) = alerting.rules_findings(loaded())
    assert (found.state, rules_version() in found.says) == ("ok", True)
    assert alerting.rules_findings([])[0].says == "none of ours is loaded"
    assert alerting.rules_findings(loaded(DiskFilling=None))[0].says == "DiskFilling not loaded"
    broken = {"health": "err", "lastError": "many-to-many"}
    assert alerting.rules_findings(loaded(DiskFilling=broken))[0].says == "1 cannot be evaluated: DiskFilling: many-to-many"
    for other in ({"labels": {"version": "0123456789ab"}}, None):
        (found,) = alerting.rules_findings(loaded(**{RULES_INFO: other}))
        assert (found.state, "another release" in found.says) == ("wrong", True)


def test_the_version_of_the_rules_does_not_depend_on_their_timing():
    """The rules of the demo have the version of production; another text has another one."""
    assert f"version: {rules_version()}" in render(RuleTiming.demo())["meta.yml"]
    assert len(rules_version()) == 12


def test_targets_and_alertmanagers():
    """A target that is down is named with its error; a Prometheus that has just started is given time."""
    up = {"health": "up", "labels": {"job": "exporter"}, "scrapeUrl": "http://e/metrics", "lastError": ""}
    assert alerting.targets_findings([up])[0].state == "ok"
    (found,) = alerting.targets_findings([up, up | {"health": "down", "lastError": "refused"}])
    assert (found.state, "exporter http://e/metrics: refused" in found.says) == ("wrong", True)
    for young, state in ((True, "note"), (False, "wrong")):
        assert alerting.targets_findings([], young=young)[0].state == state
        assert alerting.alertmanagers_findings([], young=young)[0].state == state


def test_alerts_that_fire():
    """Alerts about the pipeline and about alerting are told since when; those about agencies and the heartbeat are not."""

    def alert(name, scope):
        return {
            "state": "firing",
            "labels": {"alertname": name, "scope": scope},
            "annotations": {"summary_en": "It is down."},
            "activeAt": "2026-11-28T05:00:00.123456789Z",
        }

    listed = [alert("KafkaDown", "pipeline"), alert("AgencyRateLow", "agency"), alert("Watchdog", "meta")]
    (found,) = alerting.firing_findings(listed)
    assert (found.state, found.says) == ("note", "KafkaDown fires: It is down.")
    assert found.since == dt.datetime(2026, 11, 28, 5, 0, 0, 123456, tzinfo=dt.UTC)
    assert alerting.firing_findings(listed[1:])[0].state == "ok"


def matcher(name, value, *, regex=False, equal=True):
    """A matcher of a silence."""
    return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}


@pytest.mark.parametrize(
    ("matchers", "state"),
    [
        ([matcher("alertname", ".+", regex=True)], "wrong"),
        ([matcher("scope", "agency|pipeline|meta", regex=True)], "wrong"),
        ([matcher("alertname", "Watchdog", equal=False)], "wrong"),
        ([matcher("alertname", ".*", regex=True), matcher("agency", ".*", regex=True)], "wrong"),
        ([matcher("alertname", "DiskFilling")], "ok"),
        ([matcher("alertname", ".+", regex=True), matcher("agency", "H17")], "ok"),
        ([matcher("alertname", ".+", regex=True), matcher("agency", "H1.*", regex=True)], "ok"),
        ([matcher("scope", "agency|pipeline", regex=True)], "ok"),
        ([matcher("alertname", "(", regex=True)], "ok"),
    ],
)
def test_silences(matchers, state):
    """A silence that holds for every alert is a fault; one for some is not."""
    silence = {"id": "1", "status": {"state": "active"}, "matchers": matchers, "startsAt": "2026-11-28T05:00:00Z"}
    (found,) = alerting.silences_findings([silence])
    assert found.state == state
    assert (found.since is not None) == (state == "wrong")
    assert alerting.silences_findings([silence | {"status": {"state": "expired"}}])[0].says == "none is active"


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ("receivers: [{name: none}, {name: ops, webhook_configs: [{url: <secret>}]}]", "ok"),
        ("receivers: [{name: none}, {name: ops, webhook_configs: []}]", "wrong"),
        ("receivers: [", "note"),
        ("route: {}", "note"),
    ],
)
def test_receivers(config, state):
    """Receivers of which none tells anybody are a fault."""
    assert alerting.receivers_findings(config)[0].state == state


# ---- numbers


@pytest.mark.parametrize(("count", "text"), [(999, "999 B"), (1_500_000, "1.5 MB"), (2 * 10**12, "2.0 TB")])
def test_sizes(count, text):
    """Bytes are written in the largest unit that fits."""
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(59, "59 s"), (5_400, "1.5 h"), (604_800, "7 d")])
def test_spans(seconds, text):
    """Durations are written in the largest unit that fits."""
    assert span(seconds) == text
