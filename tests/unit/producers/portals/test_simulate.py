"""The scenario's events count to exactly the published figures, and look like real ones."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.events import (
    DOSSIER_CODE,
    EVENT_ID,
    OCCURRED_AT,
    PORTAL_ID,
    PROCEDURE_CODE,
    DossierEvent,
    dossier_date_exists,
)
from pipeline.decode.validator import EventValidator
from producers.messages import Kind
from producers.portals.dossier_plan import FULL, RETURN_ONLINE, RETURN_POST
from producers.portals.portal import build_portal
from producers.portals.scenarios import Share, Unit
from producers.portals.simulate import ScenarioStream

FIRST, LAST = "2024-01-01", "2024-08-20"  # local dates compare as text


def is_full(event):
    """Whether a settled dossier counts in the numerator of I1."""
    return event["channel"] == 2 and event["service_level"] == "toan_trinh" and event["returned_by"] in ("online", "post")


def tally(events, first=FIRST, last=LAST):
    """I1 by agency: dossiers settled within the local days, and those of them in full online service."""
    settled, full = Counter(), Counter()
    for event in events:
        if event["status"] == 9 and first <= event["occurred_at"][:10] <= last:
            settled[event["agency_code"]] += 1
            full[event["agency_code"]] += is_full(event)
    return {code: (full[code], settled[code]) for code in settled}


def test_counting_the_bytes_gives_the_published_figures_of_all_84_agencies(scenario, events):
    """Numerator and denominator of every agency, of both blocks and of the nation come out exactly."""
    counted = tally(events)
    assert counted == {unit.code: (unit.settled.numerator, unit.settled.denominator) for unit in scenario.units}
    for block, letters in {"ministry": "G", "province": "H", "nation": "GH"}.items():
        chosen = [figures for code, figures in counted.items() if code[0] in letters]
        figure = scenario.pooled[block]
        assert (sum(full for full, _ in chosen), sum(settled for _, settled in chosen)) == (figure.numerator, figure.denominator)


def test_dossiers_settled_a_day_too_early_or_too_late_exist_and_do_not_count(scenario, events):
    """On both sides of the period dossiers are settled, up to the very midnight, so a wrong boundary shows."""
    right = tally(events)
    for first, last in (("2023-12-31", LAST), (FIRST, "2024-08-21")):
        wrong = tally(events, first, last)
        assert all(wrong[unit.code] != right[unit.code] for unit in scenario.units)
    settled = sorted(event["occurred_at"] for event in events if event["status"] == 9)
    assert settled[0] == "2023-12-31T00:00:00.000+07:00"
    assert {"2023-12-31T23:59:59.999+07:00", "2024-01-01T00:00:00.000+07:00"} <= set(settled)
    assert {"2024-08-20T23:59:59.999+07:00", "2024-08-21T00:00:00.000+07:00"} <= set(settled)


def test_a_dossier_is_settled_once_and_runs_through_allowed_steps(events):
    """Each dossier's steps follow the portal's order of statuses in strictly rising time; 9 and 1 come at most once."""
    following = {
        None: {1, 2}, 1: {2, 3}, 2: {4, 7}, 4: {4, 5, 6, 7, 8, 9}, 5: {4}, 6: {4}, 9: {10}, 3: (), 7: (), 8: (), 10: (),
    }  # fmt: skip
    lives = defaultdict(list)
    for event in events:
        lives[event["dossier_code"]].append(event)
    endings = Counter()
    for code, life in lives.items():
        life.sort(key=lambda event: event["occurred_at"])
        statuses = [event["status"] for event in life]
        assert all(after in following[before] for before, after in itertools.pairwise([None, *statuses])), (code, statuses)
        assert (statuses[0] == 1) == (life[0]["channel"] == 2)
        assert all(a["occurred_at"] < b["occurred_at"] for a, b in itertools.pairwise(life)), code
        constant = ("agency_code", "procedure_code", "channel", "service_level", "portal_id", "legacy_level")
        assert len({tuple(event.get(name) for name in constant) for event in life}) == 1
        assert all(("returned_by" in event) == (event["status"] >= 9) for event in life)
        endings[statuses[-1]] += 1
    assert all(endings[status] for status in (1, 2, 3, 4, 7, 8, 9, 10))


def test_every_event_keeps_the_contract(events):
    """All texts match the contract, the date in a dossier code is the day of its first step, times stay in their span."""
    for event in events[::7]:
        assert re.fullmatch(EVENT_ID, event["event_id"])
        assert re.fullmatch(DOSSIER_CODE, event["dossier_code"])
        assert dossier_date_exists(event["dossier_code"])
        assert re.fullmatch(PROCEDURE_CODE, event["procedure_code"])
        assert re.fullmatch(r"[123]\.[0-9]{6}", event["procedure_code"])
        assert re.fullmatch(OCCURRED_AT, event["occurred_at"])
        assert "2023-11-01" <= event["occurred_at"] < "2024-08-21T23:59:59.001"
        assert event.get("legacy_level", 1) in range(1, 5)
        assert re.fullmatch(PORTAL_ID, event.get("portal_id", "x"))
        if event["status"] == (1 if event["channel"] == 2 else 2):
            assert event["dossier_code"].split("-")[1][-6:] == event["occurred_at"][2:10].replace("-", "")


def test_the_judge_accepts_the_events_on_the_scenario_clock(messages):
    """The worker's judge finds no fault, and nothing lies further in the future than it tolerates on the scenario's clock."""
    judge = EventValidator(AgencyRegistry.packaged())
    latest = dt.datetime.fromisoformat("2024-08-20T23:59:59+07:00") + dt.timedelta(days=1)
    assert all(isinstance(judge.validate(message.value, latest=latest), DossierEvent) for message in messages[::17])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_feed_is_fresh_on_the_scenario_clock(scenario, seed):
    """Some event lies in the last five minutes before the clock, and every agency was heard of on the last day."""
    clock = int(dt.datetime.fromisoformat("2024-08-20T23:59:59+07:00").timestamp() * 1000)
    newest = {}
    for unit in scenario.units:
        plan = build_portal(unit, scenario.period, seed=seed).plan
        at = plan.at[plan.status > 0]
        newest[unit.code] = int(at[at <= clock].max())
    assert clock - max(newest.values()) <= 5 * 60_000
    assert clock - min(newest.values()) <= 86_400_000


def test_the_same_seed_gives_the_same_bytes_and_another_gives_other_ids(scenario, messages):
    """A run can be repeated to the byte; runs of two seeds share no event."""
    again, other = ScenarioStream(scenario, seed=1), ScenarioStream(scenario, seed=2)
    assert again.total == len(messages)
    ids = {message.value[13:49] for message in messages}
    for start in range(0, again.total, again.total // 10):  # messages are made in pieces; ten of them stand for all
        piece = slice(start, start + 2_000)
        assert list(again._messages(piece)) == messages[piece]
        assert not ids & {message.value[13:49] for message in other._messages(piece)}


def test_messages_arrive_mostly_in_order_some_late_and_some_twice(stream, messages):
    """Arrival follows time but for late bursts; a repeat is the very same message again, after the first."""
    assert stream.total == len(messages)
    first_seen = {}
    for message in messages:
        if message.kind is Kind.REPEAT:
            assert first_seen[message.value[13:49]] == message.value
        else:
            assert message.value[13:49] not in first_seen
            first_seen[message.value[13:49]] = message.value
    repeats = len(messages) - len(first_seen)
    assert 0.002 < repeats / len(messages) < 0.004
    newest = late = disordered = 0
    for message in messages:
        disordered += message.occurred_at < newest
        late += message.occurred_at < newest - 3_600_000
        newest = max(newest, message.occurred_at)
        assert message.occurred_at >= newest - 13 * 3_600_000
    assert 0.01 < late / len(messages) < 0.2
    assert disordered > late


def test_the_key_is_the_dossier_code_and_the_time_is_the_event_s(messages):
    """Key and time beside the value say the same as the value."""
    for message in messages[::101]:
        text = message.value.decode()
        assert f'"dossier_code":"{message.key.decode()}"' in text
        at = dt.datetime.fromtimestamp(message.occurred_at / 1000, dt.timezone(dt.timedelta(hours=7)))
        assert f'"occurred_at":"{at.isoformat(timespec="milliseconds")}"' in text


def test_a_few_procedures_make_most_dossiers(events):
    """Procedures are skewed: within an agency the most popular ones take far more than their equal part."""
    counts = Counter(event["procedure_code"] for event in events if event["agency_code"] == "G02" and event["status"] == 9)
    top = sum(count for _, count in counts.most_common(len(counts) // 10))
    assert top / counts.total() > 0.4


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    scale=st.integers(1, 4),
    figure=st.integers(0, 700).flatmap(lambda den: st.tuples(st.integers(0, den), st.just(den))),
)
def test_any_figure_comes_out_exactly(scenario, seed, scale, figure):
    """Whatever numerator, denominator, seed and scale: the portal's own columns count to the figure, codes are unique."""
    unit = Unit("H26", "Hà Nội", "province", Share(*figure))
    portal = build_portal(unit, scenario.period, seed=seed, scale=scale)
    first, end = (int(instant.timestamp() * 1000) for instant in scenario.period.instants())
    plan = portal.plan
    inside = np.flatnonzero(((plan.status == 9) & (first <= plan.at) & (plan.at < end)).any(axis=1))
    online = (plan.channel[inside] == 2) & (plan.level[inside] == FULL)
    full = online & np.isin(plan.returned[inside], (RETURN_ONLINE, RETURN_POST))
    assert (int(full.sum()), len(inside)) == (figure[0] * scale, figure[1] * scale)
    assert ((plan.status == 9).sum(axis=1) <= 1).all()
    days = (plan.submitted + 7 * 3_600_000) // 86_400_000
    codes = set(zip(portal.prefix.tolist(), days.tolist(), portal.sequence.tolist(), strict=True))
    assert len(codes) == len(plan)


def test_a_day_s_rate_stays_near_the_period_s_rate(events):
    """Full online service is spread evenly, so that no single month of a large agency strays from its yearly rate."""
    for month in ("01", "03", "05", "07"):
        full, settled = tally(events, f"2024-{month}-01", f"2024-{month}-31")["H29"]
        assert abs(full / settled - 590 / 3_685) < 0.02
