"""Whether the figures of a report are final."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.errors import ConfigurationError, UnavailableError
from pipeline.report.completeness import CompletenessCheck, NotFinal, Scope, TopicOffsets
from pipeline.report.question import Question

NOW = dt.datetime(2024, 9, 1, tzinfo=dt.UTC)
TODAY, AUGUST = dt.date(2024, 9, 1), [dt.date(2024, 8, 31)]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.seconds = 0.0

    async def sleep(self, seconds):
        self.seconds += seconds


def checked(*answers, dossiers=None, not_recounted=()):
    """A check whose Kafka gives these answers, the last one for ever; and its clock."""
    waiting = list(answers)

    def offsets():
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def here(action):
        return action()

    clock = Clock()
    timing = {"monotonic": lambda: clock.seconds, "sleep": clock.sleep}
    storage = {"dossiers": dossiers, "not_recounted": lambda: not_recounted}
    check = CompletenessCheck(offsets, **storage, now=lambda: NOW, in_thread=here, **timing)
    return check, clock


async def test_final_when_everything_before_the_question_is_counted():
    """Messages that come after the question do not matter; those before it are waited for."""
    check, clock = checked(
        TopicOffsets({0: 10, 1: 5}, {0: 7, 1: 5}),
        TopicOffsets({0: 20, 1: 9}, {0: 9, 1: 5}),
        TopicOffsets({0: 30, 1: 9}, {0: 12, 1: 5}),
    )
    found = await check(Scope(AUGUST), today=TODAY, wait=10)
    assert (found.final, found.waiting, found.asked_at) == (True, 0, NOW)
    assert 0 < clock.seconds < 2


async def test_not_final_while_messages_wait():
    """After the longest wait the figures are not final, and the number of messages is named."""
    check, clock = checked(TopicOffsets({0: 1_010}, {0: 7}))
    found = await check(Scope(AUGUST), today=TODAY, wait=10)
    assert [(reason.code, "1,003" in reason.text) for reason in found.reasons] == [(NotFinal.MESSAGES_WAITING, True)]
    assert found.waiting == 1_003
    assert 10 <= clock.seconds < 11
    check, clock = checked(TopicOffsets({0: 10}, {0: 7}))
    assert not (await check(Scope(AUGUST), today=TODAY, wait=0)).final
    assert clock.seconds == 0


async def test_not_final_while_stored_dossiers_are_not_counted_with_their_catalogue():
    """A load whose recount broke off is named with its agencies; waiting does not end it, so nothing is waited for."""
    check, clock = checked(TopicOffsets({0: 7}, {0: 7}), not_recounted=["G01", "H17"])
    found = await check(Scope(AUGUST), today=TODAY, wait=10)
    assert [(reason.code, "G01, H17. Load its file again." in reason.text) for reason in found.reasons] == [
        (NotFinal.CATALOGUE_RECOUNT, True)
    ]
    assert (found.final, found.question, clock.seconds) == (False, None, 0)


async def test_without_a_time_a_report_waits_only_for_what_can_become_final():
    """Ten seconds by default; none while the period is not over, unless it is asked for."""
    check, clock = checked(TopicOffsets({0: 10}, {0: 7}))
    assert (await check(Scope([TODAY]), today=TODAY)).waiting == 3
    assert clock.seconds == 0
    await check(Scope([TODAY]), today=TODAY, wait=2)
    assert 2 <= clock.seconds < 3
    await check(Scope(AUGUST), today=TODAY)
    assert 12 <= clock.seconds < 14


async def test_an_offset_of_an_earlier_topic_counts_for_nothing():
    """A committed offset beyond the end belongs to a topic that was deleted: all messages wait."""
    check, _ = checked(TopicOffsets({0: 5}, {0: 9}))
    assert (await check(Scope(AUGUST), today=TODAY, wait=0)).waiting == 5


async def test_a_question_that_is_sent_back_waits_for_its_own_messages():
    """Only the partitions that waited then are waited for, up to the ends of then; the time of the question stays."""
    check, _ = checked(TopicOffsets({0: 10, 1: 5, 2: 8}, {0: 7, 1: 5, 2: 6}))
    question = (await check(Scope(AUGUST), today=TODAY, wait=0)).question
    assert question == Question(NOW, {0: 10, 2: 8})
    assert Question.from_text(question.as_text()) == question
    earlier = Question(NOW - dt.timedelta(hours=1), question.ends)
    check, clock = checked(TopicOffsets({0: 900, 1: 900, 2: 900}, {0: 9, 1: 5, 2: 300}), TopicOffsets({0: 950}, {0: 11, 2: 300}))
    found = await check(Scope(AUGUST), today=TODAY, wait=0, question=earlier)
    assert (found.waiting, found.question) == (1, Question(earlier.asked_at, {0: 10}))
    found = await check(Scope(AUGUST), today=TODAY, wait=10, question=found.question)
    assert (found.final, found.asked_at, found.question) == (True, earlier.asked_at, None)
    assert clock.seconds < 1
    with pytest.raises(ConfigurationError, match="in the future"):
        await check(Scope(AUGUST), today=TODAY, question=Question(NOW + dt.timedelta(seconds=1), {}))


@pytest.mark.parametrize(
    "text", ["", "0:1", "2024-09-01,0:1", "2024-09-01T00:00:00+00:00,0", "2024-09-01T00:00:00Z,0:-1", "2024-09-01T00:00:00Z,0:1,"]
)
def test_what_is_no_question_is_refused(text):
    """The error says where a question comes from."""
    with pytest.raises(ConfigurationError) as caught:
        Question.from_text(text)
    assert "completeness.question" in caught.value.remedy


async def test_messages_of_a_topic_that_was_created_again_are_not_waited_for():
    """Nobody knows whether they were counted: the figures are not final, and no further question is asked."""
    check, _ = checked(TopicOffsets({0: 4}, {0: 4}))
    found = await check(Scope(AUGUST), today=TODAY, wait=1, question=Question(NOW, {0: 10}))
    assert ([reason.code for reason in found.reasons], found.waiting, found.question) == ([NotFinal.UNKNOWN], None, None)
    assert "created again" in found.reasons[0].text


async def test_not_final_when_kafka_does_not_say():
    """Without an answer of Kafka nobody knows, so the figures are not final; the cause is named."""
    check, _ = checked(UnavailableError("No broker answers at k:9092.", remedy="Start it."))
    found = await check(Scope(AUGUST), today=TODAY, wait=10)
    assert [reason.code for reason in found.reasons] == [NotFinal.UNKNOWN]
    assert "No broker answers at k:9092." in found.reasons[0].text
    assert found.waiting is None


@pytest.mark.parametrize(("last", "final"), [(dt.date(2024, 8, 31), True), (TODAY, False), (dt.date(2024, 12, 31), False)])
async def test_not_final_before_the_period_is_over(last, final):
    """A period is over when its last day is before today; that of a comparison as well."""
    check, _ = checked(TopicOffsets({0: 5}, {0: 5}))
    found = await check(Scope([last, *AUGUST]), today=TODAY, wait=10)
    assert found.final is final
    assert [reason.code for reason in found.reasons] == ([] if final else [NotFinal.PERIOD_NOT_OVER])


class Dossiers:
    """A storage of which so many dossiers wait at each question, the last number for ever; notes what it is asked."""

    def __init__(self, *waiting):
        self.waiting, self.asked = list(waiting), []

    def now(self):
        return NOW + dt.timedelta(seconds=len(self.asked))

    def waiting_since(self, asked_at):
        self.asked.append(asked_at)
        return self.waiting.pop(0) if len(self.waiting) > 1 else self.waiting[0]


WHOLE = Scope(AUGUST, reads_dossiers=True)


async def test_figures_of_whole_dossiers_wait_for_these():
    """Only after the messages are counted, and only for what was noted by then: a later question is about the same dossiers."""
    dossiers = Dossiers(5, 3, 0)
    check, _ = checked(TopicOffsets({0: 10}, {0: 7}), TopicOffsets({0: 12}, {0: 12}), dossiers=dossiers)
    found = await check(WHOLE, today=TODAY, wait=10)
    assert found.final
    assert found.dossiers_waiting == 0
    assert dossiers.asked == [NOW] * 3
    dossiers.waiting = [4]
    found = await check(WHOLE, today=TODAY, wait=0)
    assert [reason.code for reason in found.reasons] == [NotFinal.DOSSIERS_WAITING]
    assert (found.waiting, found.dossiers_waiting) == (0, 4)
    again = Question.from_text(found.question.as_text())
    assert again == found.question
    dossiers.waiting = [2, 0]
    assert (await check(WHOLE, today=TODAY, wait=10, question=again)).final
    assert set(dossiers.asked[-3:]) == {again.noted_until}
    # Other figures do not depend on whole dossiers.
    dossiers.waiting = [9]
    asked = len(dossiers.asked)
    assert (await check(Scope(AUGUST), today=TODAY, wait=0)).final
    assert len(dossiers.asked) == asked


async def test_dossiers_are_not_asked_for_while_messages_wait():
    """Their dossiers are not even noted yet."""
    dossiers = Dossiers(0)
    check, _ = checked(TopicOffsets({0: 10}, {0: 7}), dossiers=dossiers)
    found = await check(WHOLE, today=TODAY, wait=0)
    assert [reason.code for reason in found.reasons] == [NotFinal.MESSAGES_WAITING]
    assert (found.dossiers_waiting, dossiers.asked) == (None, [])


async def test_accepted_late_is_final_after_the_next_working_day():
    """Until then a dossier of the last day may be answered in time."""
    check, _ = checked(TopicOffsets({0: 1}, {0: 1}))
    for answers, codes in (([TODAY], [NotFinal.ANSWERS_NOT_OVER]), ([TODAY - dt.timedelta(days=1)], [])):
        found = await check(Scope(AUGUST, answers), today=TODAY, wait=0)
        assert [reason.code for reason in found.reasons] == codes


@pytest.mark.parametrize("text", ["2024-09-01T00:00:00+00:00,noted:", "2024-09-01T00:00:00+00:00,noted:2024-09-01", "0:1"])
def test_a_question_with_another_form_is_refused(text):
    """Only what an answer held is a question."""
    with pytest.raises(ConfigurationError, match="not the question"):
        Question.from_text(text)
