"""What one scrape exports."""

from __future__ import annotations

import datetime as dt

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.clock import ManualClock
from domain.errors import ConfigurationError
from domain.events import Reason
from domain.findings import FindingKind
from domain.indicators import INDICATORS, ReturnAtCounter, indicators_by
from domain.metric_names import METRICS
from domain.periods import Window, civil_day
from pipeline.kafka.partition_lag import PartitionState, PartitionStates
from pipeline.metrics import OPERATIONS, OUTCOMES, WorkerMetrics
from pipeline.serving.exporter import (
    AgencyCollector,
    AuditCollector,
    AuditState,
    FindingCollector,
    FindingState,
    storage_up,
)
from pipeline.serving.kafka_disks import KafkaDiskCollector
from pipeline.serving.policies import PolicyCollector
from pipeline.settings import ThresholdPolicy
from pipeline.wiring.partitions import PartitionCollector
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.tallies import Counts, Span
from sinks.errors import Retryable
from tests.contract.store_suite import StoreUnderTest
from tests.factories import TOPIC, an_event
from tests.fakes import MemoryStore

#: 15:00 in Viet Nam on 20 August 2024.
NOW = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
ACCEPTED = {"agency_accepted_late_dossiers", "agency_registered_online_dossiers"}
POLICY_SERIES = {"agency_threshold_ratio", "agency_min_volume", "agency_rung_ratio", "agency_stand_in_window"}
#: In force and not expected to report.
SILENT = {"G27", "G28", "G30"}
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
POLICIES = (ThresholdPolicy(window="1d"), ThresholdPolicy(kpi="I5", window="ytd", ratio=0.5, min_volume=7))


def scrape(store, registry, *, now=NOW, policies=POLICIES, indicators=INDICATORS):
    """All samples of one scrape: (name, sorted labels) -> value."""
    collectors = CollectorRegistry()
    collectors.register(AgencyCollector(store, registry=registry, clock=ManualClock(now), indicators=indicators))
    collectors.register(PolicyCollector(registry=registry, clock=ManualClock(now), policies=policies))
    collectors.register(AuditCollector(lambda: AuditState(kafka_answers=True)))
    collectors.register(KafkaDiskCollector(lambda: {1: 0.25, 2: 0.5}))
    collectors.register(
        FindingCollector(
            lambda: FindingState(civil_day(now), accepted={"H17": (1, 2)}), registry=registry, clock=ManualClock(now)
        )
    )
    collectors.register(PartitionCollector(lambda: PartitionStates((PartitionState("events", 3, 7, ()),))))
    text = (generate_latest(collectors) + storage_up(answers=True)).decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"exported twice: {key}"
            samples[key] = sample.value
    return samples


def value(samples, name, **labels):
    """One sample."""
    return samples[name, tuple(sorted(labels.items()))]


def names_and_labels(samples):
    """Which label names each metric came with."""
    found = {}
    for name, labels in samples:
        found.setdefault(name, set()).add(tuple(sorted(key for key, _ in labels)))
    return found


def filled(*events) -> MemoryStore:
    """A store with these events, recounted."""
    store = MemoryStore(now=lambda: NOW)
    StoreUnderTest(store, store, dict, dict, lambda *_: None).store_and_recount(list(events))
    return store


def test_every_agency_is_initialised(registry):
    """Before the first event every agency that reports has 0 of 0 for each indicator and window: silence is not absence."""
    samples = scrape(MemoryStore(), registry)
    codes = {agency.code for agency in registry.expected(civil_day(NOW))}
    assert len(codes) == 86
    for code in codes:
        for kpi in ("I1", "I5"):
            for window in ("1h", "1d", "7d", "month", "ytd"):
                assert value(samples, "agency_kpi_numerator", agency=code, kpi=kpi, window=window) == 0
                assert value(samples, "agency_kpi_denominator", agency=code, kpi=kpi, window=window) == 0
    info = {dict(labels)["agency"]: dict(labels) for name, labels in samples if name == "agency_info"}
    assert set(info) == codes | SILENT
    assert (info["H17"]["block"], info["H17"]["name"]) == ("province", "Đà Nẵng")
    assert not any(name == "agency_last_event_timestamp_seconds" for name, _ in samples)
    assert not any(name == "portalpulse_newest_event_timestamp_seconds" for name, _ in samples)


@pytest.mark.parametrize(("at_counter", "numerator"), [(ReturnAtCounter.EXCLUDED, 1), (ReturnAtCounter.COUNTED, 2)])
def test_gauges_have_the_numerator_that_the_setting_chooses(registry, at_counter, numerator):
    """Alerts and boards read these gauges: of a dossier handed out at the counter the setting says whether I1 counts it."""
    store = filled(an_event(occurred_at=NOW - HOUR), an_event(occurred_at=NOW - HOUR, returned_by="counter"))
    samples = scrape(store, registry, indicators=indicators_by(at_counter))
    labels = {"agency": "H17", "kpi": "I1"}
    for window in ("1d", "ytd"):
        assert value(samples, "agency_kpi_numerator", window=window, **labels) == numerator
        assert value(samples, "agency_kpi_denominator", window=window, **labels) == 2


def test_only_what_is_declared_is_exported_and_all_of_it(registry):
    """Names, labels and kinds of a full scrape are those of metric_names, no more and no fewer."""
    store = filled(an_event(occurred_at=NOW - HOUR))
    samples = names_and_labels(scrape(store, registry))
    declared = {metric.name: {tuple(sorted(metric.labels))} for metric in METRICS.values() if metric.source == "exporter"}
    assert samples == declared


def test_the_worker_makes_what_is_declared():
    """The worker's instruments are those of metric_names, with the same labels and kinds."""
    collectors = CollectorRegistry()
    WorkerMetrics(collectors)
    made = {}
    for collector in collectors._collector_to_names:
        family = collector._name
        kind = collector._type
        made[f"{family}_total" if kind == "counter" else family] = (kind, tuple(collector._labelnames))
    declared = {metric.name: (metric.kind, tuple(metric.labels)) for metric in METRICS.values() if metric.source == "worker"}
    assert made == declared


def test_the_workers_label_sets_are_complete_at_the_start():
    """Every outcome of every operation is exported from the start, and no other label values are possible."""
    collectors = CollectorRegistry()
    metrics = WorkerMetrics(collectors)

    def series():
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in text_string_to_metric_families(generate_latest(collectors).decode())
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    before = series()
    for operation in (*OPERATIONS, "ping", "read_minutes", "anything"):
        for outcome in OUTCOMES:
            metrics.observe_store(operation, outcome, 0.1)
    assert series() == before
    count = {
        (sample.labels["operation"], sample.labels["outcome"]): sample.value
        for family in text_string_to_metric_families(generate_latest(collectors).decode())
        for sample in family.samples
        if sample.name == "portalpulse_worker_store_seconds_count"
    }
    assert count == {(operation, outcome): 1 for operation in OPERATIONS for outcome in OUTCOMES}


def test_label_sets_are_closed(registry):
    """Labels hold codes of the registry, the indicators, the windows and the reasons, whatever the storage holds."""
    store = filled(an_event(agency="X99", occurred_at=NOW), an_event(agency="H17", occurred_at=NOW))
    store.insert_dead_letters([DeadLetter(TOPIC, 0, 1, None, b"", "a reason of a newer release", "")])
    samples = scrape(store, registry)
    codes = {agency.code for agency in registry.in_force(civil_day(NOW))}
    allowed = {
        "agency": {*codes, ""},  # too many events with one code belong to no agency
        "kind": set(FindingKind),
        "kpi": {"I1", "I5"},
        "window": {window.value for window in Window},
        "reason": {reason.value for reason in Reason},
        "block": {"ministry", "province"},
        "rung": {"below10", "target"},
        "broker": {"1", "2"},
        "scope": {"agency_minute", "agency_day", "agency_day_procedure", "dossiers"},
        "topic": {"events"},  # those of the brokers
        "partition": {"3"},
    }
    for _, labels in samples:
        for name, label in labels:
            assert name in {"name", "name_en", "version"} or label in allowed[name], (name, label)


def series_of(samples, agency):
    """The metrics that have a series of this agency."""
    return {name for name, labels in samples if dict(labels).get("agency") == agency}


def test_an_agency_that_need_not_report_has_no_zeros(registry):
    """An agency that is not expected to report and never sent has its name and thresholds, and no figures of 0."""
    samples = scrape(filled(an_event()), registry)
    for code in SILENT:
        assert series_of(samples, code) == {"agency_info", *POLICY_SERIES}


@pytest.mark.parametrize("occurred_at", [NOW - 3 * HOUR, NOW - 400 * DAY, NOW + HOUR])
def test_an_agency_that_need_not_report_and_does_is_like_any_other(registry, occurred_at):
    """Once an agency that is not expected to report has sent an event, it has every series of figures; the others do not."""
    samples = scrape(filled(an_event(agency="G27", occurred_at=occurred_at)), registry)
    of_past_events = {"agency_findings", "agency_last_event_timestamp_seconds", "agency_usual_quiet_seconds", *ACCEPTED}
    assert series_of(samples, "G27") | of_past_events == series_of(scrape(filled(an_event(agency="H17")), registry), "H17") | (
        set() if occurred_at < NOW else {"agency_quiet_working_seconds"}
    )
    year = value(samples, "agency_kpi_denominator", agency="G27", kpi="I1", window="ytd")
    assert year == (occurred_at > NOW - 200 * DAY)
    assert "agency_kpi_denominator" not in series_of(samples, "G28")


def test_findings_of_an_agency_that_need_not_report(registry):
    """Findings of such an agency are exported when it has some."""
    found = FindingState(civil_day(NOW), {("G27", "no_channel"): 2})
    collectors = CollectorRegistry()
    collectors.register(FindingCollector(lambda: found, registry=registry, clock=ManualClock(NOW)))
    lines = [line for line in generate_latest(collectors).decode().splitlines() if 'agency="G2' in line]
    assert 'agency_findings{agency="G27",kind="no_channel"} 2.0' in lines
    assert not any('agency="G28"' in line for line in lines)


def test_windows(registry):
    """Each window counts what it holds: an hour, a day, a week, 30 days back to the minute, a month and a year by civil days."""
    at = {
        "now": NOW,
        "59 minutes ago": NOW - dt.timedelta(minutes=59),
        "an hour ago": NOW - HOUR,
        "a day ago": NOW - DAY + dt.timedelta(minutes=1),
        "a week ago": NOW - 7 * DAY + dt.timedelta(minutes=1),
        "first of the month": dt.datetime(2024, 7, 31, 17, tzinfo=dt.UTC),
        "before the month": dt.datetime(2024, 7, 31, 16, 59, 59, tzinfo=dt.UTC),
        "first of the year": dt.datetime(2023, 12, 31, 17, tzinfo=dt.UTC),
        "last year": dt.datetime(2023, 12, 31, 16, 59, 59, 999_000, tzinfo=dt.UTC),
        "tomorrow": dt.datetime(2024, 8, 20, 17, tzinfo=dt.UTC),
    }
    samples = scrape(filled(*(an_event(occurred_at=instant) for instant in at.values())), registry)
    found = {w.value: value(samples, "agency_kpi_denominator", agency="H17", kpi="I1", window=w.value) for w in Window}
    assert found == {"1h": 2, "1d": 4, "7d": 5, "30d": 7, "month": 6, "ytd": 8}


def test_thresholds_stand_beside_every_agency(registry):
    """Each policy is exported for each agency with its own indicator and window; that of a day also for its stand-ins."""
    samples = scrape(MemoryStore(), registry)
    ratios = [(dict(labels), v) for (name, labels), v in samples.items() if name == "agency_threshold_ratio"]
    assert len(ratios) == 4 * 89
    assert value(samples, "agency_threshold_ratio", agency="H17", kpi="I1", window="1d") == 0.05
    assert value(samples, "agency_threshold_ratio", agency="H17", kpi="I5", window="ytd") == 0.5
    assert value(samples, "agency_min_volume", agency="G01", kpi="I5", window="ytd") == 7
    assert not any(
        name.startswith(("agency_threshold", "agency_min")) for name, _ in scrape(MemoryStore(), registry, policies=())
    )


def test_the_most_specific_policy_counts(registry):
    """An agency's own policy wins over that of its block, and that over the one for all; targets are those of the year."""
    policies = (
        ThresholdPolicy(agency="H17", ratio=0.3, min_volume=5),
        ThresholdPolicy(min_volume=50),
        ThresholdPolicy(block="ministry", ratio=0.2, low_ratio=0.25, target=0.9),
        ThresholdPolicy(window="ytd"),
        ThresholdPolicy(window="7d", ratio=0.02),
    )
    samples = scrape(MemoryStore(), registry, policies=policies)

    def of(name, agency, window, **rung):
        return samples.get((name, tuple(sorted({"agency": agency, "kpi": "I1", "window": window, **rung}.items()))))

    assert [of("agency_threshold_ratio", code, "1d") for code in ("H17", "H18", "G01")] == [0.3, 0.05, 0.2]
    assert [of("agency_min_volume", code, "1d") for code in ("H17", "H18", "G01")] == [5, 50, 30]
    assert [of("agency_rung_ratio", code, "1d", rung="below10") for code in ("H17", "H18", "G01")] == [None, 0.1, 0.25]
    assert [of("agency_rung_ratio", code, "1d", rung="target") for code in ("H17", "H18", "G01")] == [None, None, 0.9]
    assert [of("agency_rung_ratio", code, "ytd", rung="target") for code in ("H17", "G01")] == [0.3, 0.7]
    assert [of("agency_stand_in_window", "G01", window) for window in ("1d", "7d", "30d", "ytd")] == [None, None, 1, None]
    assert [of("agency_threshold_ratio", "G01", window) for window in ("7d", "30d")] == [0.02, 0.2]


def test_an_unknown_agency_in_a_policy_is_refused(registry):
    """A policy for a code that the registry does not know stops the start."""
    with pytest.raises(ConfigurationError, match="policy 2 names the agency H99"):
        PolicyCollector(registry=registry, clock=ManualClock(NOW), policies=(ThresholdPolicy(), ThresholdPolicy(agency="H99")))


def test_freshness_is_measured_by_the_clock(registry):
    """The clock, the newest event and each agency's newest event are exported; events after the clock are ignored."""
    store = filled(
        an_event(occurred_at=NOW - HOUR),
        an_event(agency="G01", occurred_at=NOW),
        an_event(agency="H18", occurred_at=NOW + dt.timedelta(milliseconds=1)),
    )
    samples = scrape(store, registry)
    assert value(samples, "portalpulse_clock_timestamp_seconds") == NOW.timestamp()
    assert value(samples, "portalpulse_newest_event_timestamp_seconds") == NOW.timestamp()
    assert value(samples, "agency_last_event_timestamp_seconds", agency="H17") == (NOW - HOUR).timestamp()
    assert ("agency_last_event_timestamp_seconds", (("agency", "H18"),)) not in samples


def test_one_week_earlier(registry):
    """The figures of the same 24 hours one week ago and of the seven days before the last seven, each by its own bounds."""
    at = [NOW - 7 * DAY, NOW - 8 * DAY + MINUTE, NOW - 8 * DAY, NOW - 7 * DAY + MINUTE, NOW - 14 * DAY + MINUTE, NOW - 14 * DAY]
    samples = scrape(filled(*(an_event(occurred_at=instant) for instant in at)), registry)
    labels = {"agency": "H17", "kpi": "I1"}
    assert value(samples, "agency_kpi_earlier_denominator", window="1d", **labels) == 2
    assert value(samples, "agency_kpi_earlier_denominator", window="7d", **labels) == 4
    assert value(samples, "agency_kpi_earlier_numerator", window="7d", **labels) == 4
    assert value(samples, "agency_kpi_denominator", window="7d", **labels) == 1
    assert value(samples, "agency_kpi_earlier_denominator", agency="H18", kpi="I5", window="7d") == 0


def test_silence_is_measured_in_office_hours(registry):
    """Each agency has the office hours since its newest event and its usual pause; one that never sent, since the first day."""
    each_day = [an_event(agency="H18", occurred_at=NOW - number * DAY) for number in range(1, 20)]
    weekly = [an_event(agency="G01", occurred_at=NOW - number * 7 * DAY - HOUR) for number in range(10)]
    samples = scrape(filled(*each_day, *weekly, an_event(occurred_at=NOW - 26 * HOUR)), registry)
    working_day = 9 * 3600

    def of(name, agency):
        return samples.get((f"agency_{name}_seconds", (("agency", agency),)))

    assert [of("quiet_working", code) for code in ("H18", "G01", "H17")] == [working_day, 3600, working_day + 2 * 3600]
    assert [of("usual_quiet", code) for code in ("H18", "G01", "H17")] == [working_day, 5 * working_day, 50 * working_day]
    # Tuesday, nine weeks ago at 14:00, was the first day with events
    assert of("quiet_working", "H01") == 45 * working_day + 7 * 3600
    assert of("usual_quiet", "H01") is None
    assert value(samples, "portalpulse_year_left_seconds") == (134 - 1) * 86_400 + 9 * 3600


def test_the_past_is_read_once_a_minute(registry):
    """A second scrape in the same minute does not read the figures of one week earlier again; one in the next does."""
    store, clock = filled(an_event(occurred_at=NOW - 7 * DAY)), ManualClock(NOW)
    collector = AgencyCollector(store, registry=registry, clock=clock)
    read = []
    plain = store.counts_between
    store.counts_between = lambda start, end: read.append(start) or plain(start, end)

    def of_the_past():
        read.clear()
        list(collector.collect())
        return any(NOW - 15 * DAY < start < NOW - 7.5 * DAY for start in read)

    assert [of_the_past(), of_the_past()] == [True, False]
    clock.advance(60)
    assert of_the_past()


def test_lag(registry):
    """Stored events that are not tallied yet are lag; afterwards lag is 0, and a tier that is too high is not hidden."""
    store = MemoryStore(now=lambda: NOW)
    sink = StoreUnderTest(store, store, dict, dict, lambda *_: None)
    event = an_event(occurred_at=NOW)
    sink.store_and_recount([event])
    assert value(scrape(store, registry), "portalpulse_tally_lag_rows") == 0
    store.minutes.clear()
    samples = scrape(store, registry)
    assert value(samples, "portalpulse_tally_lag_rows") == 1
    assert value(samples, "portalpulse_audit_drift_events", scope="agency_minute") == 0
    store.recount_minutes(Span(NOW, NOW + dt.timedelta(minutes=1)))
    assert value(scrape(store, registry), "portalpulse_tally_lag_rows") == 0
    store.write(store.days, ("H17", civil_day(NOW)), Counts(events=4), NOW)
    assert value(scrape(store, registry), "portalpulse_tally_lag_rows") == -3


def test_losses(registry):
    """Every reason is there from the start; received counts good and bad of the last hour, and only of it."""
    clock = [NOW - 2 * HOUR]
    store = MemoryStore(now=lambda: clock[0])
    sink = StoreUnderTest(store, store, dict, dict, lambda *_: None)
    sink.store_and_recount([an_event(occurred_at=NOW - DAY)])
    store.insert_dead_letters([DeadLetter(TOPIC, 0, 1, None, b"", "empty", "")])
    clock[0] = NOW
    sink.store_and_recount([an_event(occurred_at=NOW), an_event(occurred_at=NOW)])
    store.insert_dead_letters([DeadLetter(TOPIC, 0, 2, None, b"{", "not_json", "")])
    samples = scrape(store, registry)
    letters = {dict(labels)["reason"]: v for (name, labels), v in samples.items() if name == "portalpulse_dead_letters_total"}
    assert letters == {reason.value: 0 for reason in Reason} | {"empty": 1, "not_json": 1}
    assert value(samples, "portalpulse_dead_letter_rows", window="1h") == 1
    assert value(samples, "portalpulse_received_rows", window="1h") == 3


def test_dead_letters_of_few_agencies_have_names(registry):
    """The ten agencies with the most dead letters of the last hour have a series, all others together one without a code."""
    store = MemoryStore(now=lambda: NOW)
    codes = [code for code in (agency.code for agency in registry.in_force(civil_day(NOW))) if code.startswith("H")][:11]
    letters = [(code, number) for number, code in enumerate(codes, 1) for _ in range(number)] + [("X99", 0), ("", 0)]
    store.insert_dead_letters(
        DeadLetter(TOPIC, 0, offset, None, f'{{"agency_code": "000.{code}"}}'.encode(), "not_json", "")
        for offset, (code, _) in enumerate(letters)
    )
    samples = scrape(store, registry)
    found = {dict(labels)["agency"]: v for (name, labels), v in samples.items() if name == "portalpulse_dead_letter_agency_rows"}
    assert found == {code: number for number, code in enumerate(codes, 1) if number > 1} | {"": 3}


def test_the_registry_of_the_clocks_day_counts(registry):
    """The agencies exported are those in force on the clock's local day, so mergers change the list at local midnight."""
    before = dt.datetime(2025, 6, 30, 16, 59, 59, tzinfo=dt.UTC)

    def codes(now):
        return {dict(labels)["agency"] for name, labels in scrape(MemoryStore(), registry, now=now) if name == "agency_info"}

    assert "H02" in codes(before)
    assert "H02" not in codes(before + dt.timedelta(seconds=1))


def test_a_scrape_fails_with_the_storage(registry):
    """When the storage does not answer nothing is exported: old figures would look current."""

    class Away(MemoryStore):
        def last_events(self, *_):
            raise Retryable("away")

    with pytest.raises(Retryable):
        scrape(Away(), registry)


def test_registering_reads_nothing(registry):
    """A worker may start while the storage is unavailable: registering the gauges does not read it."""

    class Unreadable:
        def __getattr__(self, name):
            raise AssertionError(name)

    CollectorRegistry().register(AgencyCollector(Unreadable(), registry=registry, clock=ManualClock(NOW)))
