"""The truth by minute, day and procedure is what the rules of the product say of the same messages, also of half a scenario."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from domain.agencies import AgencyRegistry
from domain.events import DossierEvent
from domain.periods import civil_day
from pipeline.decode.validator import EventValidator
from producers.portals.dossier_faults import DossierFault, FaultShares
from producers.portals.months import month_scenario
from producers.portals.simulate import ScenarioStream
from producers.portals.tier_truth import (
    TALLIED,
    TierCounts,
    add_scenario,
    figure_differences,
    read_table,
    with_earlier_steps,
)
from tests.right_counts import right_counts

REGISTRY = AgencyRegistry.packaged()
LATEST = dt.datetime(2025, 3, 31, tzinfo=dt.UTC)
#: Two ministries that are merged on 1 March, a province, and a ministry that stays.
CODES = ("G14", "G24", "H17", "G02")
MANY = FaultShares({fault: 0.33 if fault.startswith("again") else 0.4 for fault in DossierFault})


def stream_of(shares, *, settled=15_000, numbers_from=0):
    """A few agencies of February 2025 with these faults, in the order of arrival."""
    scenario = month_scenario("feb-2025", settled=settled, seed=1)
    small = replace(scenario, units=tuple(unit for unit in scenario.units if unit.code in CODES))
    return ScenarioStream(small, seed=1, shares=shares, numbers_from=numbers_from)


@pytest.fixture(scope="module")
def stream():
    """Many faults in every dossier."""
    return stream_of(MANY)


def tables_by_the_rules(messages):
    """Every tally that the rules give for these messages."""
    validator = EventValidator(REGISTRY)
    tables = defaultdict(lambda: defaultdict(Counter))
    for event, names in right_counts(validated(validator, message) for message in messages).items():
        minute = str(int(event.occurred_at.timestamp()) // 60 * 60)
        day = civil_day(event.occurred_at).isoformat()
        for name in names:
            tables["agency_minute"][event.agency, minute][name] += 1
            tables["agency_day"][event.agency, day][name] += 1
            tables["agency_day_procedure"][event.agency, day, event.procedure_code][name] += 1
    return {
        table: {key: tuple(counts[name] for name in TALLIED) for key, counts in found.items() if counts}
        for table, found in tables.items()
    }


def validated(validator, message):
    """The event of a message, which must be valid."""
    event = validator.validate(message.value, latest=LATEST)
    assert isinstance(event, DossierEvent), (event, message.value)
    return event


def assert_true(stream, share):
    """Of a part of the messages the truth is what the rules make of them."""
    sent = with_earlier_steps(stream, np.random.default_rng(7).random(stream.total) < share / 6)
    sent |= with_earlier_steps(stream, np.arange(stream.total) < share * stream.total)
    assert (sent == with_earlier_steps(stream, sent)).all()
    counts = TierCounts()
    add_scenario(counts, stream, sent)
    rules = tables_by_the_rules(stream.messages_of(np.flatnonzero(sent)))
    for table, true in counts.tables().items():
        assert sum(map(sum, true.values())) > 0
        assert not figure_differences(true, rules[table])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 1.0])
def test_the_truth_about_what_is_sent_so_far(stream, share):
    """Of dossiers of which only the first steps are sent, the truth says what the rules make of the messages sent."""
    assert_true(stream, share)


@pytest.mark.parametrize("fault", DossierFault)
def test_the_truth_about_half_a_scenario_with_one_fault(fault):
    """The same with one fault in every dossier in which it is possible."""
    assert_true(stream_of(FaultShares.regular().changed([f"{fault}=1"]), settled=6_000), 0.6)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_the_truth_about_other_times(share):
    """Two months of life within a minute are the same dossiers, at the new times."""
    scenario = month_scenario("feb-2025", settled=15_000, seed=1)
    small = replace(scenario, units=tuple(unit for unit in scenario.units if unit.code in ("H17", "G02")))
    stream = ScenarioStream(small, seed=1, shares=MANY)
    first = int(dt.datetime(2025, 2, 10, 16, 59, 58, tzinfo=dt.UTC).timestamp() * 1000)
    moved = stream.redated(first)
    assert moved.total == stream.total
    assert {message.occurred_at // 60_000 for message in moved} == {first // 60_000, first // 60_000 + 1}
    assert_true(moved, share)
    assert_true(stream, share)


def test_numbers_of_several_streams(stream):
    """Streams with different first numbers have no dossier and no event in common."""
    other = stream_of(MANY, numbers_from=10_000)
    for part in (lambda message: message.key, lambda message: message.value[13:49]):
        assert not {part(message) for message in stream} & {part(message) for message in other}
    numbers = [int(each.dossier_code(0).rsplit("-", 1)[1]) for each in (stream, other)]
    assert numbers[1] - numbers[0] == 10_000


def test_answers_are_read():
    """A row of a tally becomes a key and its figures; rows without anything above 0 equal a missing row."""
    zeros = ["0"] * len(TALLIED)
    answer = "\n".join(
        "\t".join(row) for row in (["G01", "2025-02-01", "1.000001", "3", *zeros[1:]], ["G02", "2025-02-01", "x", *zeros])
    )
    found = read_table("agency_day_procedure", answer)
    assert found == {("G01", "2025-02-01", "1.000001"): (3, *([0] * (len(TALLIED) - 1)))}
    assert figure_differences({}, found) == ["G01 2025-02-01 1.000001: events is 3, the truth is 0."]
    assert not figure_differences(found, found)
