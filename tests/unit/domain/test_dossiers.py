"""The milestones of a dossier follow from its events, whatever their order, repeats and corrections."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter

import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossiers import MAX_EVENTS, TooManyEvents, Waiting, judge
from domain.periods import civil_day
from tests.cases import EXPECTED, dossiers
from tests.factories import MORNING, an_event

REGISTRY = AgencyRegistry.packaged()
HOUR = dt.timedelta(hours=1)
NASTY = dossiers("25_nasty_dossiers.ndjson.gz", REGISTRY)


def events_of(*statuses, **changes):
    """An event an hour for each status of one dossier; a status may be a pair of status and changes."""
    found = []
    for hour, status in enumerate(statuses):
        number, own = status if isinstance(status, tuple) else (status, {})
        fields = {"dossier_code": "H17-240102-0001", "status": number, "occurred_at": MORNING + hour * HOUR}
        found.append(an_event(**fields | changes | own))
    return found


def as_day(event):
    """The civil day of a milestone, as the expected answers write it."""
    return None if event is None else civil_day(event.occurred_at).isoformat()


@pytest.mark.parametrize("expected", EXPECTED["dossiers"], ids=lambda expected: expected["code"])
def test_dossiers_with_one_trap_each(expected):
    """Each dossier of the recorded feed has the milestones that the definitions give it."""
    found = judge(NASTY[expected["code"]])
    submitted = {"day": as_day(found.submitted), "unit": found.submitted.agency, "online": found.online}
    settled = found.settled and {
        "day": as_day(found.settled),
        "unit": found.settled.agency,
        "full": found.settled_full,
        "full_any_return": found.settled_full_any_return,
    }
    assert submitted == expected["submitted"]
    assert settled == expected["settled"]
    assert (as_day(found.refused), as_day(found.given_back)) == (expected["refused"], expected["given_back"])


def figures(file, scope, period):
    """Counts of a file's dossiers for one unit and period."""
    found = Counter()
    for messages in dossiers(file, REGISTRY).values():
        dossier = judge(messages)
        for event in dossier.events:
            if event.agency == scope and period["from"] <= as_day(event) <= period["to"]:
                found.update(dossier.counts_of(event))
                found["given_back"] += event is dossier.given_back
    return found


COUNTED = {"I1": ("settled_full", "settled"), "I5": ("submitted_online", "submitted")}
CHECKS = [check for check in EXPECTED["checks"] if check["file"][:2] not in ("02", "16")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check['file'][:3]}-{check['indicator']}-{check['period']['from']}")
def test_figures_of_recorded_feeds(check):
    """Sums of milestones are the published figures of the feed."""
    found = figures(check["file"], check["scope"], check["period"])
    numerator, denominator = COUNTED.get(check["indicator"], (check["indicator"], None))
    assert found[numerator] == check["numerator"]
    if denominator:
        assert found[denominator] == check["denominator"]


def test_a_later_nine_replaces_an_earlier_ten():
    """Settled is the first 9; a 10 counts only while no 9 is known."""
    assert judge(events_of(1, 10, 9, 9)).settled.status == 9
    assert judge(events_of(1, 10, 9, 9)).settled.occurred_at == MORNING + 2 * HOUR
    assert judge(events_of(1, 2, 10, 10)).settled.occurred_at == MORNING + 2 * HOUR


@pytest.mark.parametrize("unsettled", [3, 7, 8])
def test_the_return_of_refused_papers_settles_nothing(unsettled):
    """A 10 directly after a 3, 7 or 8 returns the papers, however often it is sent; after another event it settles."""
    assert judge(events_of(1, unsettled, 10, 10)).settled is None
    assert judge(events_of(1, unsettled, 2, 10)).settled.occurred_at == MORNING + 3 * HOUR
    assert judge(events_of(1, 10, unsettled, 10)).settled.occurred_at == MORNING + HOUR


@pytest.mark.parametrize(
    ("statuses", "given_back_at"),
    [
        ((1, 3), 1),
        ((1, 3, 10), 1),
        ((1, 3, 1), None),
        ((1, 3, 1, 3, 7), 3),
        ((1, 8, 5), None),
        ((1, 3, 9), None),
        ((1, 2), None),
    ],
)
def test_given_back_unless_taken_up_again(statuses, given_back_at):
    """A dossier is given back by the first 3, 7 or 8 after which no 1, 2, 4, 5 or 6 follows."""
    dossier = judge(events_of(*statuses))
    assert dossier.given_back == (None if given_back_at is None else dossier.events[given_back_at])


def test_the_level_of_the_settled_dossier():
    """The settled event's level counts, else the nearest before it; a later one does not."""
    missing, partial = {"service_level": ""}, {"service_level": "mot_phan"}
    assert judge(events_of(1, (2, partial), (9, missing))).level == "mot_phan"
    assert judge(events_of((1, partial), 2, (9, missing))).level == "toan_trinh"
    assert judge(events_of((1, missing), (9, missing), 10)).level == ""
    assert not judge(events_of((1, missing), (9, missing), 10)).settled_full_any_return


def test_only_the_return_itself_says_how_the_result_was_returned():
    """The counter named by a 9 or a 10 counts; named by another event it is a wish."""
    counter = {"returned_by": "counter"}
    assert judge(events_of((1, counter), (2, counter), 9, 10)).settled_full
    for statuses in ((1, (9, counter)), (1, 9, (10, counter)), ((10, counter), 9)):
        dossier = judge(events_of(*statuses))
        assert (dossier.settled_full, dossier.settled_full_any_return) == (False, True)


def test_the_channel_is_that_of_the_first_event_that_has_one():
    """Events without a channel are passed over; without any channel the dossier is not online."""
    none, counter = {"channel": 0}, {"channel": 1}
    assert judge(events_of((1, none), 2, (9, counter))).online
    assert not judge(events_of((1, counter), 2, 9)).online
    assert not judge(events_of((1, none), (9, none))).online


def test_one_id_with_one_status_is_one_event():
    """Of its messages the latest counts; the same id with another status, or another id, is another event."""
    same = uuid.UUID(int=7)
    late, early = an_event(event_id=same, occurred_at=MORNING + HOUR, channel=1), an_event(event_id=same)
    assert judge([early, late]).events == judge([late, early, early]).events == (late,)
    assert len(judge([early, an_event(event_id=same, status=10)]).events) == 2


def test_sending_an_event_again_does_not_move_it_to_the_unit_of_another_registry():
    """Of one event at two units, both named by the code, the greater unit counts: not always the one that was sent last."""
    before, again = (
        an_event(event_id=uuid.UUID(int=1), dossier_code="H62-250701-0001", agency=agency) for agency in ("H62", "H44")
    )
    assert judge([before, again]).submitted.agency == judge([again, before]).submitted.agency == "H62"


def test_at_equal_times_the_message_with_more_counts():
    """At equal times the unit that the code names wins, then the greatest fields; a missing value is the smallest."""
    same = uuid.UUID(int=7)
    bare = an_event(event_id=same, channel=0, service_level="")
    for more in (
        {"channel": 1},
        {"service_level": "mot_phan"},
        {"returned_by": "post"},
        {"due_at": MORNING},
        {"legacy_level": 1},
    ):
        full = an_event(event_id=same, **{"channel": 0, "service_level": ""} | more)
        assert judge([full, bare]).events == judge([bare, full]).events == (full,)
    foreign = an_event(event_id=same, channel=3, named_by_code=False)
    assert judge([foreign, bare]).events == (bare,)


def test_order_within_a_dossier():
    """Events of one millisecond are ordered by status, then by whether the code names the unit, then by the id as text."""
    second, first = an_event(status=4, event_id=uuid.UUID(int=1)), an_event(status=1, event_id=uuid.UUID(int=2))
    assert judge([second, first]).events == (first, second)
    foreign, own = an_event(event_id=uuid.UUID(int=1), named_by_code=False), an_event(event_id=uuid.UUID(int=2))
    assert judge([foreign, own]).events == (own, foreign)
    # ClickHouse would order these two the other way round: it compares the second half of a UUID first.
    low = an_event(event_id=uuid.UUID("00000000-0000-0001-ffff-000000000000"))
    high = an_event(event_id=uuid.UUID("00000000-0000-0002-0000-000000000000"))
    assert judge([high, low]).events == (low, high)


def test_the_due_date_is_the_last_one_up_to_the_closing_event():
    """An extension counts; a due date that comes after the dossier was closed does not."""
    first, extended, after = ({"due_at": MORNING + days * 24 * HOUR} for days in (1, 2, 3))
    assert judge(events_of((1, first), (4, extended), 9, (10, after))).due_at == extended["due_at"]
    assert judge(events_of((1, first), (9, extended))).due_at == extended["due_at"]
    assert judge(events_of((1, first), (3, {}), (10, after))).due_at == first["due_at"]
    assert judge(events_of(1, 9)).due_at is None


def test_waiting_for_supplements():
    """Waiting lasts from a 5, or the first of several in a row, to the next other event."""
    at = [MORNING + hours * HOUR for hours in range(8)]
    assert judge(events_of(1, 5, 5, 4, 5, 9)).waiting == (Waiting(at[1], at[3]), Waiting(at[4], at[5]))
    assert judge(events_of(1, 5)).waiting == (Waiting(at[1], None),)


def test_the_first_answer_to_a_registration():
    """It is the first event of another status; a dossier that does not begin with a 1 has none."""
    assert judge(events_of(1, 1, 3)).first_answer.status == 3
    assert judge(events_of(1)).first_answer is None
    assert judge(events_of(2, 4)).first_answer is None


def test_more_than_ten_thousand_events_are_no_dossier():
    """Ten thousand distinct events are judged, one more is refused; repeats do not count."""
    events = [an_event(dossier_code="H17-240102-0001") for _ in range(MAX_EVENTS)]
    assert len(judge(events * 2).events) == MAX_EVENTS
    more = [*events, an_event(dossier_code="H17-240102-0001")]
    assert judge(more) == TooManyEvents("H17-240102-0001", MAX_EVENTS + 1)


@pytest.mark.parametrize(
    ("statuses", "level", "sent"),
    [
        ([(1, {"service_level": ""}), (9, {"service_level": ""})], "toan_trinh", ""),  # nobody gives one
        ([(1, {"service_level": "mot_phan"}), (9, {"service_level": ""})], "mot_phan", "mot_phan"),  # the nearest before decides
        ([(1, {"service_level": ""}), (9, {"service_level": "mot_phan"})], "mot_phan", "mot_phan"),  # the message decides
        ([(1, {"service_level": ""}), (10, {"service_level": ""})], "toan_trinh", ""),  # settled by a 10
        ([(9, {"service_level": ""}), (10, {"service_level": "mot_phan"})], "toan_trinh", ""),  # what comes later does not
        ([(9, {"service_level": "", "procedure_code": "2"})], "", ""),  # a procedure that is not in the catalogue
        ([(9, {"service_level": "", "occurred_at": MORNING - dt.timedelta(days=1)})], "", ""),  # before its first day
        ([(1, {"service_level": ""})], "", ""),  # not settled
    ],
)
def test_the_catalogue_gives_the_level_that_no_message_gives(statuses, level, sent):
    """The catalogue's level for unit, procedure and day of the settled event counts only where no message up to it has one."""
    entry = CatalogueEntry("H17", "1.000001", civil_day(MORNING), service_level="toan_trinh")
    found = judge(events_of(*statuses, agency="H17", procedure_code="1.000001"), (), Catalogue([entry]).level)
    assert (found.level, found.sent_level) == (level, sent)
    assert found.settled_full == (level == "toan_trinh")
