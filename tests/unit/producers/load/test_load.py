"""Load shapes ask for what they say, the pool makes new live events, and the search finds the highest sustainable rate."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.dossiers import judge
from domain.errors import ConfigurationError
from domain.events import DossierEvent
from domain.findings import findings
from domain.registry_file import COLUMNS
from pipeline.decode.validator import EventValidator
from producers.load import profiles
from producers.load.limit import Objective, Trial, find_limit
from producers.load.pool import live_pool, rows_and_rounds
from producers.load.traffic import Load
from producers.measuring.latency import Latency
from producers.portals.dossier_faults import PROFILES
from producers.portals.produce import scenario_messages
from producers.sending.send_loop import send_task

MONDAY = dt.datetime.fromisoformat("2026-03-02T09:30:00+07:00")
SHAPES = (
    profiles.steady(100.0, 10.0),
    profiles.ramp(0.0, 100.0, 10.0),
    profiles.step(20.0, 100.0, 10.0, steps=5),
    profiles.spike(10.0, 100.0, 10.0),
    profiles.daily(100.0, 24.0),
    profiles.soak(10.0, 150.0),
)


@pytest.fixture(scope="module")
def pool():
    """A small pool of a Monday morning."""
    return live_pool(clock=ManualClock(MONDAY), seed=1, size=3_000)


def test_the_pool_and_scenarios_have_the_agencies_of_the_registry():
    """Agencies of the registry that is given send events; a scenario that contradicts it is refused."""
    lines = [f"H{n},a,a,a,a,province,2016-04-01,,,{'2016-04-01' if n < 95 else ''}" for n in range(90, 98)]
    lines.append("G91,a,a,a,a,ministry,2016-04-01,,,2016-04-01")
    registry = AgencyRegistry.from_csv("\n".join([",".join(COLUMNS), *lines]))
    small = live_pool(clock=ManualClock(MONDAY), seed=1, size=2_000, registry=registry)
    assert {unit for unit, _ in small.counts} == {"G91", *(f"H{n}" for n in range(90, 95))}
    month = scenario_messages("feb-2025", seed=1, events=2_000, registry=registry)
    assert set(month.expected) == {"G91", *(f"H{n}" for n in range(90, 95))}
    with pytest.raises(ConfigurationError, match=r"is not in force on 2024-01-01.*PORTALPULSE_REGISTRY_FILE"):
        scenario_messages("emc-2024", seed=1, registry=registry)


@pytest.mark.parametrize("profile", SHAPES, ids=lambda profile: profile.name)
def test_the_count_is_the_sum_of_the_rate_and_windows_cover_the_run(profile):
    """The area below the line is what is sent; windows follow each other from the start to the end."""
    steps = 20_000
    width = profile.seconds / steps
    area = sum(profile.rate((step + 0.5) * width) * width for step in range(steps))
    assert profile.count(profile.seconds) == pytest.approx(area, rel=1e-3)
    assert profile.count(profile.seconds * 2) == profile.count(profile.seconds)
    assert profile.rate(profile.seconds) == 0.0
    assert profile.windows[0].start == 0.0
    assert profile.windows[-1].end == pytest.approx(profile.seconds)
    assert all(before.end == pytest.approx(after.start) for before, after in itertools.pairwise(profile.windows))


def test_shapes_are_what_their_names_say():
    """Ramps rise, steps stand, a spike comes back, a day has a morning and a night."""
    _, ramp, step, spike, daily, soak = SHAPES
    assert [ramp.rate(second) for second in (0, 5, 9)] == [0, 50, 90]
    assert [step.rate(second) for second in (0, 1.9, 2, 9.9)] == [20, 20, 40, 100]
    assert [spike.rate(second) for second in (0, 4, 5.9, 6, 9)] == [10, 100, 100, 10, 10]
    assert daily.rate(9.5) == 100.0
    assert daily.rate(3.0) < 10.0
    assert len(soak.windows) == 3


def test_pool_events_are_valid_live_events_with_ids_of_their_own(pool):
    """The judge accepts them now; agencies keep their shares; three rounds of the pool never repeat an id."""
    judge = EventValidator(AgencyRegistry.packaged())
    at = int((MONDAY + dt.timedelta(minutes=1)).timestamp() * 1000)
    size = len(pool.models)
    chosen = list(itertools.islice(rows_and_rounds(range(size)), 3 * size))
    messages = list(pool.new_events(chosen, at=at, number=5))
    assert len({json.loads(message.value)["event_id"] for message in messages}) == 3 * size
    later = MONDAY + dt.timedelta(minutes=2)
    verdicts = [judge.validate(message.value, latest=later) for message in messages[:size]]
    assert all(isinstance(verdict, DossierEvent) for verdict in verdicts)
    assert all(0 <= (verdict.occurred_at.timestamp() * 1000 - at) < 20 for verdict in verdicts)
    assert all(message.key.decode() == verdict.dossier_code for message, verdict in zip(messages, verdicts, strict=False))
    counts = Counter(verdict.agency[0] for verdict in verdicts)
    assert 0.5 < counts["G"] / counts.total() < 0.73
    assert pool.with_new_ids().prefix != pool.prefix


def test_each_round_has_dossiers_of_its_own(pool):
    """Two rounds, and two runs, share no dossier; times within a dossier ascend in the order of sending."""
    size = len(pool.models)
    chosen = list(itertools.islice(rows_and_rounds(range(size)), 2 * size))
    events = [json.loads(message.value) for message in pool.new_events(chosen, at=1_772_418_600_000, number=0)]
    first, second = ({event["dossier_code"] for event in part} for part in (events[:size], events[size:]))
    assert len(first) == len(second) == pool.dossiers
    assert not first & second
    lives = {}
    for event in events:
        lives.setdefault(event["dossier_code"], []).append(event["occurred_at"])
    assert all(life == sorted(set(life)) for life in lives.values())
    other = [json.loads(message.value) for message in pool.with_new_ids().new_events(chosen, at=0, number=0)]
    assert not {event["dossier_code"] for event in other} & (first | second)


@pytest.mark.parametrize("profile", ["regular", "realistic"])
def test_the_truth_of_a_load_is_what_its_events_say(run_of, senders_on_clock, unpack, profile):
    """A load that ends with whole dossiers counts, by the rules of the product, as its truth says."""
    pool = live_pool(clock=ManualClock(MONDAY), seed=1, size=2_000, shares=PROFILES[profile])
    sender = senders_on_clock()
    load = Load(profiles.steady(1_000.0, 4.0), pool, ManualClock(MONDAY), whole_rounds=True)
    sent = send_task(load, sender=sender, run=run_of(), on_progress=lambda _: None).sent
    rounds, rest = divmod(sent, len(pool.models))
    assert rest == 0
    assert rounds >= 2
    validator, registry = EventValidator(AgencyRegistry.packaged()), AgencyRegistry.packaged()
    dossiers = {}
    for batch in sender.batches:
        for _, value in unpack(batch):
            event = validator.validate(value, latest=MONDAY + dt.timedelta(minutes=1))
            dossiers.setdefault(event.dossier_code, []).append(event)
    found = Counter()
    for events in dossiers.values():
        dossier = judge(events)
        found.update((event.agency, name) for event in dossier.events for name in dossier.counts_of(event))
        found.update((finding.event.agency, finding.kind.value) for finding in findings(events, registry))
        found.update((event.agency, "events") for event in events)
        if dossier.given_back is not None:
            found[dossier.given_back.agency, "given_back"] += 1
    truth = pool.truth(rounds, source="load")
    assert found == {(unit, name): number for (unit, _), counts in truth.by_place.items() for name, number in counts.items()}
    assert truth.dossiers == len(dossiers)
    assert (truth.total("reopened") > 0) == (profile == "realistic")


@pytest.fixture
def senders_on_clock(sender_type, hand_clock):
    """Makes senders whose acknowledgements carry the hand clock's time."""
    return lambda: sender_type(clock=hand_clock)


@pytest.mark.parametrize("shares", [1, 2])
def test_a_load_sends_what_its_profile_wants(pool, run_of, senders_on_clock, unpack, shares):
    """One process or two: together they send the profile's count, at its rate, every event once."""
    values, moments = [], []
    for number in range(shares):
        sender = senders_on_clock()
        load = Load(profiles.ramp(0.0, 2_000.0, 4.0), pool, ManualClock(MONDAY))
        account = send_task(load, sender=sender, run=run_of(share=(number, shares)), on_progress=lambda _: None)
        values += [value for batch in sender.batches for _, value in unpack(batch)]
        moments += [(item.sent_at - account.started, item.records) for item in account.acknowledgements]
    assert len(set(values)) == len(values) == pytest.approx(4_000, abs=shares)
    assert sum(count for moment, count in moments if moment <= 2.0) == pytest.approx(1_000, rel=0.05)


def test_a_stalled_sender_catches_up_one_second_at_most(pool, hand_clock, run_of, sender_type):
    """After ten seconds of waiting for the broker the load does not flood it."""
    stalls = iter([0.0] * 5 + [10.0])

    def pause(seconds):
        hand_clock.seconds += seconds + (next(stalls, 0.0) if seconds else 0.0)
        return False

    sender = sender_type(clock=hand_clock)
    load = Load(profiles.steady(100.0, 20.0), pool, ManualClock(MONDAY))
    send_task(load, sender=sender, run=run_of(pause=pause), on_progress=lambda _: None)
    assert sender.acknowledged == pytest.approx(2_000 - 900, abs=15)


def lag(p99, unseen=0):
    """A latency with this p99."""
    return Latency(1_000, unseen, p99 / 2, p99, p99, p99)


@given(max_sustainable_rate=st.floats(100.0, 400_000.0), start=st.floats(500.0, 50_000.0))
def test_the_search_finds_the_highest_rate(max_sustainable_rate, start):
    """The rate that is found keeps the objective, and a rate 10 % above it does not."""
    limit = find_limit(
        lambda rate: Trial(rate, rate, lag(0.5 if rate <= max_sustainable_rate else 2.0)),
        objective=Objective(),
        start=start,
        max_rate=500_000.0,
    )
    if limit.max_sustainable_rate is None:
        assert max_sustainable_rate < start / 28
    else:
        assert max_sustainable_rate / 1.1 <= limit.max_sustainable_rate <= max_sustainable_rate
        assert not limit.open_ended
        assert f"{limit.max_sustainable_rate:,.0f}" in limit.text()


def test_one_bad_trial_is_forgiven_and_an_unbroken_machine_is_said_to_be():
    """A rate must break twice in a row; when nothing breaks the search ends at the highest rate allowed."""
    bad = iter([True, False, False, False])

    def trial(rate):
        return Trial(rate, rate, lag(9.0 if next(bad, False) else 0.1))

    limit = find_limit(trial, objective=Objective(), start=1_000.0, max_rate=2_000.0)
    assert (limit.max_sustainable_rate, limit.open_ended) == (2_000.0, True)
    assert limit.as_dict()["trials"][0]["broken_by"] == "p99 9,000 ms"


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (Trial(100.0, 90.0, lag(0.1)), "rate not reached"),
        (Trial(100.0, 100.0, None), "not all became visible"),
        (Trial(100.0, 100.0, lag(0.1, unseen=1)), "not all became visible"),
        (Trial(100.0, 100.0, lag(float("nan"))), "p99 nan ms"),
        (Trial(100.0, 100.0, lag(0.75)), ""),
    ],
)
def test_a_trial_holds_only_when_everything_does(trial, reason):
    """The rate was reached, all became visible, and the p99 is within the objective."""
    assert trial.broken_by(Objective(0.75)) == reason
