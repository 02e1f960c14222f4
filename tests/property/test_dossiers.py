"""Milestones and findings depend on the set of a dossier's messages alone."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.balance import balance
from domain.dossier_columns import BITS, LEVEL_RANKS, NO_DUE, RETURN_RANKS, DecisionColumns, MessageColumns, count_bits
from domain.dossiers import MAX_EVENTS, ExcludedDossier, judge, no_levels
from domain.due_dates import by_766, by_due_day, of_the_settled
from domain.exclusions import ExclusionDecision
from domain.findings import Finding, FindingKind, findings
from domain.periods import Period, civil_day
from tests.factories import MORNING, an_event

REGISTRY = AgencyRegistry.packaged()
TODAY, DAY = civil_day(MORNING), dt.timedelta(days=1)

MESSAGES = st.builds(
    an_event,
    event_id=st.integers(1, 4).map(lambda number: uuid.UUID(int=number << 64 | 9 - number)),
    dossier_code=st.just("H62-240102-0001"),
    status=st.integers(1, 10),
    occurred_at=st.integers(0, 3).map(lambda hours: MORNING + dt.timedelta(hours=hours)),
    channel=st.integers(0, 3),
    service_level=st.sampled_from(["", "toan_trinh", "mot_phan"]),
    returned_by=st.sampled_from(["", "post", "counter"]),
    agency=st.sampled_from(["H62", "H44", "H29"]),
    named_by_code=st.booleans(),
    due_at=st.sampled_from([None, MORNING, MORNING + dt.timedelta(days=1)]),
)


#: Messages of one event that differ in one or two fields, so that the rules of preference decide.
_CHANGES = (
    {"occurred_at": MORNING + dt.timedelta(hours=1)},
    {"named_by_code": False},
    {"channel": 0},
    {"service_level": "mot_phan"},
    {"returned_by": "counter"},
    {"procedure_code": "1.000002"},
    {"due_at": MORNING},
    {"legacy_level": 4},
    {"agency": "H44"},
)
ALIKE = st.lists(st.sampled_from(_CHANGES), max_size=2).map(
    lambda changes: an_event(
        event_id=uuid.UUID(int=7),
        dossier_code="H62-240102-0001",
        **{"agency": "H62"} | {name: value for change in changes for name, value in change.items()},
    )
)
DOSSIERS = st.lists(st.lists(st.one_of(MESSAGES, ALIKE), min_size=1, max_size=10, unique=True), min_size=1, max_size=5)


@given(
    st.lists(MESSAGES, min_size=1, max_size=12).flatmap(
        lambda sent: st.tuples(st.just(sent), st.permutations(sent), st.sets(st.sampled_from(sent)))
    )
)
def test_order_and_repeats_change_nothing(case):
    """Any permutation and any repetition of the messages gives the same milestones and findings."""
    sent, permuted, again = case
    assert judge(permuted + list(again)) == judge(sent)
    assert findings([*again, *permuted], REGISTRY) == findings(sent, REGISTRY)


#: Decisions with few times and ids, so that several share a time. One id is one decision.
DECISIONS = st.lists(
    st.builds(
        ExclusionDecision,
        decided_at=st.integers(0, 2).map(lambda hours: MORNING + dt.timedelta(hours=hours)),
        id=st.integers(1, 5).map(lambda number: uuid.UUID(int=number << 64 | 9 - number)),
        excluded=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda decision: decision.id,
)


@given(
    st.tuples(st.lists(MESSAGES, min_size=1, max_size=8), DECISIONS).flatmap(
        lambda sent: st.tuples(st.just(sent), st.permutations(sent[0]), st.permutations(sent[1]))
    )
)
def test_the_last_decision_holds_in_any_order(case):
    """An excluded dossier has no milestone and no finding but that; order and repeats of messages and decisions never matter."""
    (messages, decisions), permuted, shuffled = case
    dossier, found = judge(messages, decisions), findings(messages, REGISTRY, decisions)
    assert judge(permuted + messages, shuffled + decisions) == dossier
    assert findings(permuted + messages, REGISTRY, shuffled + decisions) == found
    in_order = sorted(decisions, key=lambda decision: (decision.decided_at, str(decision.id)))
    if in_order and in_order[-1].excluded:
        assert isinstance(dossier, ExcludedDossier)
        assert found == (Finding(FindingKind.EXCLUDED, messages[0].dossier_code, None),)
    else:
        assert (dossier, found) == (judge(messages), findings(messages, REGISTRY))


@given(st.lists(MESSAGES, min_size=1, max_size=12))
def test_each_milestone_counts_once(messages):
    """At most one event makes each milestone, one event makes submitted, and full is part of settled."""
    dossier = judge(messages)
    counts = [dossier.counts_of(event) for event in dossier.events]
    for name in ("submitted_online", "settled", "settled_full", "settled_full_any_return", "refused", "withdrawn", "stopped"):
        assert sum(name in found for found in counts) <= 1
    assert sum("submitted" in found for found in counts) == 1
    assert all("settled" in found for found in counts if "settled_full_any_return" in found)
    assert all("settled_full_any_return" in found for found in counts if "settled_full" in found)
    assert dossier.given_back is None or dossier.settled is None


def columns_of(messages):
    """Messages of one or more dossiers as columns."""

    def ranks(values):
        ordered = sorted(set(values))
        return np.array([ordered.index(value) for value in values], dtype=np.int64)

    def array(values, kind=np.int64):
        return np.array(list(values), dtype=kind)

    return MessageColumns(
        dossier=ranks([message.dossier_code for message in messages]),
        occurred_at=array(int(message.occurred_at.timestamp() * 1000) for message in messages),
        status=array((message.status for message in messages), np.uint8),
        channel=array((message.channel for message in messages), np.uint8),
        level=array((LEVEL_RANKS.index(message.service_level) for message in messages), np.uint8),
        returned=array((RETURN_RANKS.index(message.returned_by) for message in messages), np.uint8),
        legacy=array((message.legacy_level for message in messages), np.uint8),
        due=array(NO_DUE if message.due_at is None else int(message.due_at.timestamp() * 1000) for message in messages),
        named=array((message.named_by_code for message in messages), bool),
        id_high=array((message.event_id.int >> 64 for message in messages), np.uint64),
        id_low=array((message.event_id.int & (1 << 64) - 1 for message in messages), np.uint64),
        procedure=ranks([message.procedure_code for message in messages]),
        unit=ranks([message.agency for message in messages]),
    )


def expected_bits(messages, levels=no_levels):
    """What each message counts as, by ``judge``."""
    dossier = judge(messages, (), levels)
    bits = []
    for message in messages:
        counts = dossier.counts_of(message) if message in dossier.events else frozenset()
        found = sum(1 << BITS.index(name) for name in counts)
        found |= (message == dossier.given_back) << BITS.index("given_back")
        bits.append(found)
    return bits


def event_of(message):
    """What identifies an event in the count of events."""
    return message.agency, message.dossier_code, message.occurred_at, message.event_id, message.status


@settings(max_examples=400)
@given(DOSSIERS, st.randoms())
def test_columns_follow_the_rules(dossiers, shuffler):
    """Many dossiers judged on columns, in any order of rows, count as ``judge`` says."""
    codes = [f"H62-240102-{number:04d}" for number in range(len(dossiers))]
    dossiers = [
        [replace(message, dossier_code=code) for message in messages] for code, messages in zip(codes, dossiers, strict=True)
    ]
    expected = {message: bits for messages in dossiers for message, bits in zip(messages, expected_bits(messages), strict=True)}
    rows = [message for messages in dossiers for message in messages]
    shuffler.shuffle(rows)
    judged = count_bits(columns_of(rows))
    repeat = 1 << BITS.index("repeat")
    assert [int(bits) & ~repeat for bits in judged.bits] == [expected[message] for message in rows]
    events = [event_of(message) for message, bits in zip(rows, judged.bits, strict=True) if not bits & repeat]
    assert sorted(events, key=str) == sorted({event_of(message) for message in rows}, key=str)
    assert list(judged.messages) == [sum(row.dossier_code == message.dossier_code for row in rows) for message in rows]


def decisions_as_columns(decided):
    """Pairs of the number of a dossier and a decision, as columns."""

    def array(values, kind):
        return np.array(list(values), dtype=kind)

    return DecisionColumns(
        dossier=array((number for number, _ in decided), np.int64),
        decided_at=array((int(decision.decided_at.timestamp() * 1000) for _, decision in decided), np.int64),
        id_high=array((decision.id.int >> 64 for _, decision in decided), np.uint64),
        id_low=array((decision.id.int & (1 << 64) - 1 for _, decision in decided), np.uint64),
        excluded=array((decision.excluded for _, decision in decided), bool),
    )


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.lists(st.one_of(MESSAGES, ALIKE), min_size=1, max_size=6, unique=True), DECISIONS), max_size=5),
    st.randoms(),
)
def test_columns_follow_the_decisions(drawn, shuffler):
    """Messages of excluded dossiers count as nothing, repeats stay repeats, and every decision is counted as one more message."""
    dossiers = [
        ([replace(message, dossier_code=f"H62-240102-{number:04d}") for message in messages], decisions)
        for number, (messages, decisions) in enumerate(drawn)
    ]
    rows = [(message, decisions, len(messages)) for messages, decisions in dossiers for message in messages]
    decided = [(number, decision) for number, (_, decisions) in enumerate(dossiers) for decision in decisions]
    decided.append((len(dossiers) + 7, ExclusionDecision(MORNING, uuid.UUID(int=1), excluded=True)))  # of a dossier elsewhere
    shuffler.shuffle(rows)
    shuffler.shuffle(decided)
    sent = columns_of([message for message, _, _ in rows])
    alone, judged = count_bits(sent), count_bits(sent, decisions_as_columns(decided))
    for place, (message, decisions, known) in enumerate(rows):
        is_excluded = isinstance(judge([message], decisions), ExcludedDossier)
        right = alone.bits[place] & (1 << BITS.index("repeat")) if is_excluded else alone.bits[place]
        assert (judged.bits[place], judged.messages[place]) == (right, known + len(decisions))


def test_no_messages():
    """Nothing counts as nothing."""
    assert len(count_bits(columns_of([])).bits) == 0


def test_too_many_events_count_as_nothing():
    """A code with more than the largest number of events has no milestone; a dossier beside it has its own."""
    poison = [an_event(dossier_code="H62-240102-0001") for _ in range(MAX_EVENTS + 1)]
    judged = count_bits(columns_of([*poison, an_event(dossier_code="H62-240102-0002")]))
    assert not judged.bits[:-1].any()
    assert judged.bits[-1] == sum(1 << BITS.index(name) for name in BITS[:5])


PERIODS = st.tuples(st.integers(-2, 2), st.integers(0, 3)).map(
    lambda ends: Period(TODAY + ends[0] * DAY, TODAY + (ends[0] + ends[1]) * DAY)
)
SPREAD = st.lists(
    st.builds(replace, MESSAGES, occurred_at=st.integers(-3 * 24, 3 * 24).map(lambda hours: MORNING + dt.timedelta(hours=hours))),
    min_size=1,
    max_size=8,
)


@given(SPREAD, PERIODS)
def test_the_balance_closes(messages, period):
    """Received and carried over are settled, given back or open, for any dossier; what is open is carried over."""
    dossier = judge(messages)
    found = balance(dossier, period)
    assert found.received + found.carried_over == found.settled + found.given_back + found.open <= 1
    following = balance(dossier, Period(period.end + DAY, period.end + DAY))
    assert following.carried_over == found.open


@given(SPREAD, PERIODS, st.integers(0, 2))
def test_a_period_cut_in_two_sums_to_the_whole(messages, period, cut):
    """What is counted by day sums over periods: received, settled, given back, by due day, of the settled."""
    if period.start == period.end:
        return
    middle = min(period.start + cut * DAY, period.end - DAY)
    parts = (Period(period.start, middle), Period(middle + DAY, period.end))
    dossier = judge(messages)
    whole, halves = balance(dossier, period), [balance(dossier, part) for part in parts]
    for name in ("received", "settled", "given_back"):
        assert getattr(whole, name) == sum(getattr(half, name) for half in halves), name
    for count in (partial(by_due_day, dossier, today=TODAY + 9 * DAY), partial(of_the_settled, dossier)):
        found = [result for part in parts if (result := count(period=part)) is not None]
        assert found == [result for result in [count(period=period)] if result is not None]


@given(SPREAD, PERIODS)
def test_what_happens_after_the_period_changes_no_766_figure(messages, period):
    """Formula 2.1 reads events up to the end of the period only, as long as the dossier is in hand by them."""
    dossier = judge(messages)
    known = [event for event in dossier.events if civil_day(event.occurred_at) <= period.end]
    found = by_766(dossier, period)
    if known and found is not None:
        assert by_766(judge(known), period) is found


@settings(max_examples=200)
@given(DOSSIERS, st.dictionaries(st.sampled_from(["H62", "H44", "H29"]), st.sampled_from(["", "toan_trinh", "mot_phan"])))
def test_columns_follow_the_levels_of_the_catalogue(dossiers, catalogue):
    """With the levels of a catalogue, dossiers judged on columns count as ``judge`` says with them."""

    def levels(unit, _procedure, _day):
        return catalogue.get(unit, "")

    rows = [
        replace(message, dossier_code=f"H62-240102-{number:04d}")
        for number, messages in enumerate(dossiers)
        for message in messages
    ]
    judged = count_bits(columns_of(rows))
    full = np.array([catalogue.get(row.agency) == "toan_trinh" for row in rows])
    repeat = 1 << BITS.index("repeat")
    right = [bits for messages in dossiers for bits in expected_bits(messages, levels)]
    assert [int(bits) & ~repeat for bits in judged.with_levels(full)] == right
