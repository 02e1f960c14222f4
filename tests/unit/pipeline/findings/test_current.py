"""The findings of the current day for the metrics, over a store in memory."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.dossiers import MAX_EVENTS
from domain.findings import WITHOUT_EVENT, FindingKind
from pipeline.findings.current import CurrentFindings
from pipeline.findings.service import FindingService
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.serving.exporter import FindingCollector
from sinks.errors import Retryable
from tests.factories import LATEST, MORNING, an_event, rows_of
from tests.fakes import MemoryFindingReader, MemoryStore
from tests.unit.pipeline.audit.helpers import DAY, ManualTicks

REGISTRY = AgencyRegistry.packaged()
SUCCESS, FAILURES = "portalpulse_findings_last_success_timestamp_seconds", "portalpulse_findings_failures_total"


class Surroundings:
    """A store, a clock, and a search of the findings of its day."""

    def __init__(self, *, ticks=None, shard_messages=1_000, accepted_late=lambda _: {}) -> None:
        self.store, self.clock = MemoryStore(), ManualClock(MORNING)
        self.current = CurrentFindings(
            FindingService(MemoryFindingReader(self.store), REGISTRY, shard_messages=shard_messages),
            interval=60.0,
            duty=20.0,
            clock=self.clock,
            wall_clock=ManualClock(LATEST),
            monotonic=ticks or ManualTicks(),
            accepted_late=accepted_late,
        )

    def take(self, *messages) -> None:
        """Store and index messages."""
        rows = rows_of(list(messages))
        self.store.insert_events(rows)
        DossierResolver(self.store).add(rows)

    def exported(self) -> dict[tuple[str, ...], float]:
        """What a scrape exports: name and labels -> value."""
        collectors = CollectorRegistry()
        collectors.register(FindingCollector(lambda: self.current.state, registry=REGISTRY, clock=self.clock))
        families = text_string_to_metric_families(generate_latest(collectors).decode())
        return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_nothing_is_claimed_before_the_first_search():
    """Without a search there are no series of findings: 0 would say that there are none."""
    assert Surroundings().exported() == {(SUCCESS,): 0, (FAILURES,): 0}


def test_what_was_accepted_late_is_exported():
    """It is counted for the clock's day with each search, and absent before the first."""
    surroundings = Surroundings(accepted_late=lambda day: {"H17": (day.day, 30)})
    assert not any("late" in name for name, *_ in surroundings.exported())
    surroundings.current.round()
    late = {key: value for key, value in surroundings.exported().items() if key[0].startswith("agency_") and len(key) == 2}
    assert late == {("agency_accepted_late_dossiers", "H17"): MORNING.day, ("agency_registered_online_dossiers", "H17"): 30}


def test_today_is_exported_for_every_agency_and_kind():
    """Each agency that reports has each kind, 0 where there is none; findings of other days do not count."""
    there = Surroundings(shard_messages=1)
    there.take(
        an_event(dossier_code="H17-240102-0001", status=4, named_by_code=True),
        an_event(dossier_code="H17-240102-0002", status=4, occurred_at=MORNING - DAY, named_by_code=True),
        an_event(dossier_code="G01-240102-0003", status=4, agency="G01", named_by_code=True),
    )
    there.current.round()
    exported = there.exported()
    agencies = {agency.code for agency in REGISTRY.expected(MORNING.date())}
    kinds = {str(kind) for kind in FindingKind} - WITHOUT_EVENT
    assert {key[1:] for key in exported if key[0] == "agency_findings"} == {
        *((agency, kind) for agency in agencies for kind in kinds),
        ("", "too_many_events"),
        ("", "excluded"),
    }
    assert {key: number for key, number in exported.items() if number} == {
        ("agency_findings", "H17", "first_seen_late"): 1,
        ("agency_findings", "G01", "first_seen_late"): 1,
        (SUCCESS,): LATEST.timestamp(),
    }


def test_yesterdays_findings_are_not_todays():
    """After midnight the series are absent until the new day was searched."""
    there = Surroundings()
    there.take(an_event(status=4, named_by_code=True))
    there.current.round()
    there.clock.advance(86_400)
    assert not [key for key in there.exported() if key[0] == "agency_findings"]
    there.current.round()
    found = there.exported()
    assert found["agency_findings", "H17", "first_seen_late"] == 0


def test_a_failure_is_counted_and_the_last_findings_stay():
    """A search that fails changes no finding and no time of success, and the next one works."""
    there = Surroundings()
    there.take(an_event(status=4, named_by_code=True))
    there.current.round()

    def fails(step):
        if step == "histories":
            raise Retryable("away")

    there.store.fault = fails
    there.take(an_event(status=4, dossier_code="H17-240102-0009", named_by_code=True))
    there.current.round()
    found = there.exported()
    assert (found["agency_findings", "H17", "first_seen_late"], found[SUCCESS,], found[FAILURES,]) == (1, LATEST.timestamp(), 1)
    there.store.fault = lambda _: None
    there.current.round()
    found = there.exported()
    assert (found["agency_findings", "H17", "first_seen_late"], found[FAILURES,]) == (2, 1)


@pytest.mark.parametrize(("seconds", "pause"), [(0.5, 60), (3.0, 60), (9.0, 180)])
def test_the_pause_bounds_the_cost(seconds, pause):
    """The pause is the interval, and after a long search ``duty`` times its duration."""
    ticks = iter([100.0, 100.0 + seconds])
    assert Surroundings(ticks=lambda: next(ticks)).current.round() == pause


def test_a_code_with_too_many_events_is_named_in_the_log_once(capsys):
    """The log names the code when it is found, and not again after each search; the metric has it without an agency."""
    there = Surroundings()
    there.take(*(an_event(dossier_code="H17-240102-0001", status=4) for _ in range(MAX_EVENTS + 1)))
    there.current.round()
    there.current.round()
    output = capsys.readouterr()
    assert (output.out + output.err).count("H17-240102-0001") == 1
    assert there.exported()["agency_findings", "", "too_many_events"] == 1
