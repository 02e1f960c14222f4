"""The ledger of the simulated portals and the rules of the product say the same of every dossier; neither uses the other."""

from __future__ import annotations

import ast
import datetime as dt
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

import producers
from domain.agencies import AgencyRegistry
from domain.dossiers import judge
from domain.events import DossierEvent
from domain.findings import OF_CATALOGUE, WITHOUT_EVENT, FindingKind, findings
from domain.periods import civil_day
from pipeline.decode.validator import EventValidator
from producers.portals.dossier_faults import PROFILES, DossierFault, FaultShares
from producers.portals.ledger import FINDINGS, MILESTONES
from producers.portals.months import month_scenario
from producers.portals.scenarios import load_scenario
from producers.portals.simulate import ScenarioStream
from producers.portals.truth import Truth, dossier_records

REGISTRY = AgencyRegistry.packaged()
LATEST = dt.datetime(2025, 3, 31, tzinfo=dt.UTC)
#: Two ministries that are merged on 1 March, a province, and a ministry that stays.
CODES = ("G14", "G24", "H17", "G02")
MANY = FaultShares({fault: 0.33 if fault.startswith("again") else 0.4 for fault in DossierFault})

#: Fault -> findings that it must cause; the others cause none.
CAUSED = {
    **{DossierFault(kind): {kind} for kind in FINDINGS},
    DossierFault.SEVERAL_UNITS: {"several_units", "other_unit_than_code"},
    DossierFault.SETTLED_BEFORE_SUBMITTED: {"settled_before_submitted", "first_seen_late", "reopened"},
    DossierFault.AGAIN_NEW_IDS: {"settled_twice"},
    DossierFault.AGAIN_SECONDS: {"settled_twice", "corrected_time"},
}


def stream_of(shares, *, seed=1, settled=2_500, codes=CODES):
    """A few agencies of February 2025 with these faults."""
    scenario = month_scenario("feb-2025", settled=settled, seed=seed)
    small = replace(scenario, units=tuple(unit for unit in scenario.units if unit.code in codes))
    return ScenarioStream(small, seed=seed, shares=shares)


def events_of(stream):
    """Every message as the worker understands it, by dossier."""
    validator = EventValidator(REGISTRY)
    found = defaultdict(list)
    for message in stream:
        event = validator.validate(message.value, latest=LATEST)
        assert isinstance(event, DossierEvent), (event, message.value)
        found[event.dossier_code].append(event)
    return found


def said_by_the_rules(messages):
    """The product's answer for one dossier in the form of a record of the truth."""
    dossier = judge(messages)

    def where(event):
        return None if event is None else {"day": civil_day(event.occurred_at).isoformat(), "unit": event.agency}

    return {
        "code": dossier.code,
        **{name: where(getattr(dossier, name)) for name in MILESTONES},
        "channel": dossier.channel or None,
        "online": dossier.online,
        "level": dossier.level or None,
        "settled_full": dossier.settled_full,
        "settled_full_any_return": dossier.settled_full_any_return,
        "due_at": None if dossier.due_at is None else int(dossier.due_at.timestamp()),
        "findings": {finding.kind.value: where(finding.event) for finding in findings(messages, REGISTRY)},
    }


def assert_equal(stream):
    """Every dossier, and the totals; returns the findings that there are."""
    messages = events_of(stream)
    records = list(dossier_records(stream))
    kinds = Counter(kind for record in records for kind in record["findings"])
    assert {record["code"] for record in records} == set(messages)
    for record in records:
        if record["due_at"] is not None:
            record["due_at"] = int(dt.datetime.fromisoformat(record["due_at"]).timestamp())
        assert record == said_by_the_rules(messages[record["code"]])
    distinct = {
        (event.agency, event.dossier_code, event.occurred_at, event.event_id, event.status): event
        for dossier in messages.values()
        for event in dossier
    }
    truth = Truth.of(stream, seed=1)
    counted = Counter((event.agency, civil_day(event.occurred_at)) for event in distinct.values())
    assert {place: counts["events"] for place, counts in truth.by_place.items()} == counted
    assert truth.dossiers == truth.total("submitted") == len(messages)
    assert {kind: truth.total(kind) for kind in FINDINGS if truth.total(kind)} == kinds
    return kinds


@pytest.mark.parametrize("fault", DossierFault)
def test_a_fault_alone_causes_its_findings_and_no_others(fault):
    """Each switch alone: ledger and rules agree on every dossier, and the findings are those that the switch is for."""
    kinds = assert_equal(stream_of(FaultShares.regular().changed([f"{fault}=0.5"]), settled=400))
    if fault in (DossierFault.AGAIN_NEW_IDS, DossierFault.AGAIN_SECONDS):
        assert set(kinds) == CAUSED[fault]
    else:
        assert set(kinds) == CAUSED.get(fault, set())


@pytest.mark.parametrize("seed", range(6))
def test_all_faults_together_agree_with_the_rules(seed):
    """Every switch at once, each in many dossiers, so that most dossiers have several."""
    kinds = assert_equal(stream_of(MANY, seed=seed, settled=700))
    assert set(kinds) == set(FINDINGS)


def test_history_cut_to_seconds_agrees_with_the_rules():
    """Merged ministries with events at one time, of two units, sent again with new ids and without milliseconds."""
    names = ("same_time", "several_units", "again_seconds")
    assert_equal(stream_of(FaultShares.regular().changed([f"{name}=0.9" for name in names]), codes=("G04", "G14", "G24")))


def test_realistic_feeds_agree_with_the_rules():
    """The shares of the profile, with every finding among them."""
    assert set(assert_equal(stream_of(PROFILES["realistic"], settled=3_000))) == set(FINDINGS)


def test_a_regular_feed_has_no_findings():
    """Without faults nothing is unusual, but for the history that a successor never sends again either."""
    assert not assert_equal(stream_of(PROFILES["regular"]))


def test_a_wrong_ledger_is_noticed():
    """The comparison can fail: one dossier whose second 9 the ledger does not know."""
    stream = stream_of(FaultShares.regular().changed(["settled_twice=0.5"]), settled=200)
    stream.ledgers[0].steps["settled_twice"][:] = -1
    with pytest.raises(AssertionError):
        assert_equal(stream)


@pytest.mark.parametrize("shares", [PROFILES["realistic"], MANY], ids=["realistic", "many"])
def test_the_figures_of_2024_come_out_whatever_the_faults(shares):
    """Settled and settled toàn trình of all 84 agencies are those of the source, by the ledger that the rules agree with."""
    scenario = load_scenario("emc-2024")
    truth = Truth.of(ScenarioStream(scenario, seed=1, shares=shares), seed=1)
    units = truth.of_units(scenario.period.start, scenario.period.end)
    found = {unit.code: (units[unit.code].get("settled_full", 0), units[unit.code]["settled"]) for unit in scenario.units}
    assert found == {unit.code: (unit.settled.numerator, unit.settled.denominator) for unit in scenario.units}


def test_a_successor_sends_the_month_again_under_its_own_code():
    """History of a merged ministry comes again from its successor, after the merger, and counts for the ministry that did it."""
    stream = stream_of(PROFILES["realistic"], codes=("G14",))
    again = [message for message in stream if b'"agency_code":"G06"' in message.value and message.occurred_at < 1_740_762_000_000]
    assert len(again) > 0.5 * stream.total / 2
    units = {unit for unit, _ in Truth.of(stream, seed=1).by_place}
    assert "G14" in units
    assert {day for unit, day in Truth.of(stream, seed=1).by_place if unit == "G06"} <= {dt.date(2025, 3, 1)}


def test_shuffled_messages_are_the_same_messages():
    """The order follows from the switch alone."""
    scenario = month_scenario("feb-2025", settled=300, seed=1)
    ordered = [message.value for message in ScenarioStream(scenario, seed=1, shares=MANY)]
    shuffled = [message.value for message in ScenarioStream(scenario, seed=1, shares=MANY, shuffled=True)]
    assert ordered != shuffled
    assert sorted(ordered) == sorted(shuffled)
    assert shuffled == [message.value for message in ScenarioStream(scenario, seed=1, shares=MANY, shuffled=True)]


def test_the_ledger_knows_every_finding_of_a_dossier():
    """A new kind of finding needs a fault, but for the kinds that are about a code or compare with a catalogue."""
    assert set(FINDINGS) == {kind.value for kind in FindingKind} - WITHOUT_EVENT - OF_CATALOGUE


def test_the_portals_do_not_use_the_rules_that_they_prove():
    """No module of the portals imports the product's rules of dossiers."""
    forbidden = {"domain.dossiers", "domain.findings", "domain.units", "domain.dossier_columns", "domain.corrections"}
    for path in (Path(producers.__file__).parent / "portals").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {node.module} if isinstance(node, ast.ImportFrom) else set()
            names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            assert not names & forbidden, path
