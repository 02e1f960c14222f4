"""The checker of the heartbeat: silence is told, once, and so is its end; other alerts are passed on."""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus

import pytest

from dashboards.notify.alerts import Alert
from dashboards.notify.content import Links
from dashboards.notify.recipients_file import EXAMPLE, read_recipients
from dashboards.notify.watchdog import REPEAT, Heartbeat, WatchdogChecker
from domain.agencies import AgencyRegistry
from domain.clock import ScenarioClock
from domain.errors import UnavailableError
from tests.alert_messages import STARTED, fault

BEAT = (Alert("w", firing=True, labels={"alertname": "Watchdog"}, annotations={}, started=STARTED, ended=None),)


class Outbox:
    """Keeps what was sent; the channels in ``away`` fail."""

    def __init__(self):
        self.sent, self.away = [], set()

    def send(self, key, channel, message, alerts):
        del alerts
        if channel in self.away:
            raise UnavailableError("away")
        self.sent.append((key, channel, message.subject))


@pytest.fixture
def checker():
    """A checker that tells two people after 180 s; ``now`` is its clock."""
    now = [1000.0]
    directory = read_recipients(EXAMPLE, AgencyRegistry.packaged(), day=dt.date(2026, 11, 27))
    made = WatchdogChecker(
        directory,
        Outbox(),
        to=("truc-van-hanh", "observer"),
        heartbeat=Heartbeat(180, heard=now[0]),
        clock=ScenarioClock(STARTED),
        monotonic=lambda: now[0],
        links=Links(),
    )
    made.now, made.outbox = now, made._sender
    return made


def pass_time(checker, seconds):
    """Let time pass and look; returns what was sent."""
    before = len(checker.outbox.sent)
    checker.now[0] += seconds
    checker.tick()
    return checker.outbox.sent[before:]


def test_silence_is_told_and_so_is_its_end(checker):
    """Nothing while it beats; one message a channel after 180 s, again after four hours, one when it returns."""
    for _ in range(5):
        assert checker.take("/heartbeat", BEAT) == HTTPStatus.OK
        assert pass_time(checker, 60) == []
    assert pass_time(checker, 119) == []
    told = pass_time(checker, 1)
    assert [(key, channel) for key, channel, _ in told] == [
        ("truc-van-hanh", "mail"),
        ("truc-van-hanh", "telegram"),
        ("observer", "webhook"),
        ("observer", "chat"),
    ]
    assert {subject for *_, subject in told} == {
        "[1 cảnh báo] Hệ thống cảnh báo đã im lặng",
        "[1 firing] The alerting path is silent",
    }
    assert pass_time(checker, REPEAT.total_seconds() - 1) == []
    assert len(pass_time(checker, 1)) == 4
    checker.take("/", BEAT)
    assert pass_time(checker, 1)[0][2] == "[1 đã kết thúc] Hệ thống cảnh báo đã hoạt động trở lại"
    assert pass_time(checker, 1) == []


def test_a_heartbeat_that_never_came_is_told(checker):
    """A checker that was started and never heard anything says so: that is how a wrong address is found."""
    assert pass_time(checker, 179) == []
    assert len(pass_time(checker, 1)) == 4


def test_what_no_channel_took_is_tried_again(checker):
    """One channel that works is enough; when none does, the next look tries again."""
    checker.outbox.away = {"mail", "telegram", "webhook", "chat"}
    assert pass_time(checker, 200) == []
    checker.outbox.away = {"mail"}
    assert len(pass_time(checker, 1)) == 3
    assert pass_time(checker, 1) == []


def test_other_alerts_are_passed_on(checker):
    """An alert about failing notifications is sent by the checker itself; Alertmanager repeats it when that fails."""
    failing = (fault("NotificationsFailing"),)
    assert checker.take("/", failing) == HTTPStatus.OK
    assert len(checker.outbox.sent) == 4
    checker.outbox.away = {"mail", "telegram", "webhook", "chat"}
    assert checker.take("/", failing) == HTTPStatus.SERVICE_UNAVAILABLE
