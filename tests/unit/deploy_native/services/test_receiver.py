"""Every delivered alert is written before it is acknowledged, and passed on."""

from __future__ import annotations

import datetime as dt
import json

import httpx
import pytest

from deploy.native.services.receiver import NotificationReceiver, Notifications
from domain.clock import ScenarioClock

NOON = dt.datetime(2024, 8, 20, 12, tzinfo=dt.UTC)


def message(*alerts, receiver="agencies"):
    """A message as Alertmanager sends it."""
    return {"version": "4", "receiver": receiver, "status": "firing", "alerts": list(alerts)}


def alert(agency, *, name="AgencyRateLow", status="firing", window="ytd"):
    """One alert of such a message."""
    labels = {"alertname": name, "agency": agency, "window": window}
    return {"status": status, "labels": labels, "annotations": {"summary": "Tỷ lệ thấp"}, "startsAt": "x"}


@pytest.fixture
def shown():
    """The notifications that the receiver passed on."""
    return []


@pytest.fixture
def receiver(tmp_path, shown):
    """A receiver that answers."""
    receiver = NotificationReceiver(
        tmp_path / "stack" / "notifications.ndjson", on_delivery=shown.append, clock=ScenarioClock(NOON)
    )
    receiver.start()
    yield receiver
    receiver.stop()


def post(receiver, body):
    """Deliver ``body``; returns the status of the answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(receiver.url, content=content, trust_env=False).status_code


def test_a_group_becomes_one_entry_an_alert(receiver, shown):
    """Each alert of a grouped message is kept with its labels, annotations, state and time of receipt."""
    assert post(receiver, message(alert("G08"), alert("H17", status="resolved"))) == 200
    entries = receiver.notifications.read()
    assert [(entry.agency, entry.status) for entry in entries] == [("G08", "firing"), ("H17", "resolved")]
    assert entries[0].received_at == "2024-08-20T12:00:00.000+00:00"
    assert entries[0].annotations == {"summary": "Tỷ lệ thấp"}
    assert (entries[0].alert, entries[0].receiver) == ("AgencyRateLow", "agencies")
    assert list(entries) == shown


def test_agencies_are_those_that_fired_over_the_window(receiver):
    """A resolved alert, another alert and another window do not count."""
    post(receiver, message(alert("G08"), alert("G10", status="resolved"), alert("H01", name="AgencySilent")))
    post(receiver, message(alert("H02", window="1d")))
    assert receiver.notifications.agencies("AgencyRateLow", window="ytd") == {"G08"}
    assert receiver.notifications.agencies("AgencyRateLow") == {"G08", "H02"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"alerts": [{}]}', b'{"alerts": 7}'])
def test_an_invalid_body_is_rejected(receiver, body):
    """A malformed body gets 400 and leaves no entry; the next delivery works."""
    assert post(receiver, body) == 400
    assert receiver.notifications.read() == ()
    assert post(receiver, message(alert("G08"))) == 200


def test_entries_of_earlier_runs_are_kept(tmp_path):
    """The file is appended to, never emptied."""
    path = tmp_path / "notifications.ndjson"
    for agency in ("G08", "G10"):
        receiver = NotificationReceiver(path)
        receiver.start()
        post(receiver, message(alert(agency)))
        receiver.stop()
    assert Notifications(path).agencies("AgencyRateLow") == {"G08", "G10"}


def test_an_incomplete_line_is_left_out(tmp_path):
    """A reader never sees half an entry."""
    path = tmp_path / "notifications.ndjson"
    assert Notifications(path).read() == ()
    path.write_text('{"received_at": "x", "rec')
    assert Notifications(path).read() == ()
