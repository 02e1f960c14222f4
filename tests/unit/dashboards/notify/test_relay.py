"""The relay: who is told at once, what waits, what an end needs, and what Alertmanager forgot."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from dashboards.notify.memory import Memory, Route
from dashboards.notify.present import Prometheus
from dashboards.notify.recipients_file import EXAMPLE, read_recipients
from dashboards.notify.relay import Relay
from dashboards.notify.relay_server import RelayServer
from domain.agencies import AgencyRegistry
from domain.clock import ScenarioClock
from domain.errors import UnavailableError
from domain.indicators import Ratio
from domain.periods import VIETNAM
from tests.alert_messages import alert, fault

OFFICER = Route("dau-moi-h17", "mail")
OPERATIONS = Route("truc-van-hanh", "telegram")
NIGHT = dt.datetime(2026, 11, 29, 22, tzinfo=VIETNAM)
MORNING = dt.datetime(2026, 11, 30, 7, 30, tzinfo=VIETNAM)


class Outbox:
    """Keeps what was sent; fails when told to."""

    def __init__(self):
        self.sent, self.fails = [], False

    def send(self, key, channel, message, alerts):
        if self.fails:
            raise UnavailableError("The mail server is away.")
        self.sent.append((Route(key, channel), message, list(alerts)))


class Truth:
    """Knows the present; ``down``: nobody knows."""

    def __init__(self):
        self.firing, self.down = set(), False

    def fires(self, given):
        if self.down:
            raise UnavailableError("Prometheus does not say.")
        return given.fingerprint in self.firing

    def rate(self, given):
        del given
        return Ratio(25, 360)


@pytest.fixture
def make(tmp_path):
    """Makes a relay that keeps its memory in the test's folder."""
    directory = read_recipients(EXAMPLE, AgencyRegistry.packaged(), day=dt.date(2026, 11, 27))

    def go(**options):
        return Relay(
            directory, Outbox(), Memory(tmp_path / "m" / "messages.sqlite", busy_seconds=0.1), ScenarioClock(NIGHT), **options
        )

    return go


def test_what_is_critical_comes_at_night_and_the_rest_waits(make):
    """At night a critical alert is sent; a warning waits for the morning; people without office hours get everything."""
    relay = make()
    assert relay.deliver(OFFICER, [alert(agency="H17")])
    assert not relay.deliver(OFFICER, [alert(agency="H17", severity="warning", rung="below10")])
    assert relay.deliver(OPERATIONS, [alert(agency="H17", severity="warning", rung="below10")])
    assert [route for route, _, _ in relay.sender.sent] == [OFFICER, OPERATIONS]
    relay.release_held()
    assert len(relay.sender.sent) == 2
    relay.clock = ScenarioClock(MORNING)
    relay.release_held()
    relay.release_held()
    (route, message, _) = relay.sender.sent[-1]
    assert (route, len(relay.sender.sent)) == (OFFICER, 3)
    assert message.text.startswith("Các thông báo ngoài giờ làm việc:")


def test_what_began_and_ended_at_night_is_named_in_the_morning(make, tmp_path):
    """One message in the morning has what still fires and what ended; it survives a restart of the relay."""
    relay = make()
    relay.deliver(OFFICER, [alert(agency="H17", severity="warning")])
    relay.deliver(OFFICER, [alert(agency="H17", severity="warning", firing=False)])
    relay.deliver(OFFICER, [alert("AgencySilent", agency="H17", severity="warning")])
    again = make()
    again.clock = ScenarioClock(MORNING)
    again.sender.fails = True
    again.release_held()
    again.sender.fails = False
    again.release_held()
    ((_, message, _),) = again.sender.sent
    assert message.subject.startswith("[1 cảnh báo, 1 đã kết thúc]")
    assert Memory(tmp_path / "m" / "messages.sqlite").held() == {}


def test_a_newer_state_that_was_sent_at_once_is_not_sent_again(make):
    """A warning that waits and becomes critical is told once."""
    relay = make()
    warning = alert(agency="H17", severity="warning")
    relay.deliver(OFFICER, [warning])
    relay.deliver(OFFICER, [warning, alert(agency="H17", window="7d")])
    relay.clock = ScenarioClock(MORNING)
    relay.release_held()
    assert len(relay.sender.sent) == 1


def test_an_end_needs_proof(make):
    """Alertmanager ends every alert when Prometheus is silent: without an answer nothing is told, which is not a failure."""
    relay, truth = make(), Truth()
    relay.truth = truth
    ended = alert(agency="H17", firing=False)
    assert not relay.deliver(OFFICER, [ended])  # nobody was told that it began
    assert relay.deliver(OFFICER, [alert(agency="H17")])
    truth.down = True
    for given in (ended, fault(firing=False)):
        assert not relay.deliver(OFFICER, [given])
    truth.down, truth.firing = False, {ended.fingerprint}
    assert not relay.deliver(OFFICER, [ended])
    truth.firing = set()
    assert relay.deliver(OFFICER, [ended])
    assert not relay.deliver(OFFICER, [ended])
    (_, (_, message, _)) = relay.sender.sent
    assert "hiện là 6,94 % (25/360 hồ sơ)" in message.text


def test_what_never_ended_is_not_told_again(make):
    """Alertmanager takes alerts for ended when Prometheus restarts, then they fire again for it: people hear nothing of that."""
    relay, truth = make(), Truth()
    relay.truth = truth
    low, year, stall = alert(agency="H17"), alert(agency="H17", window="ytd"), fault()
    relay.deliver(OFFICER, [low, year])
    relay.deliver(OPERATIONS, [stall])
    truth.firing = {low.fingerprint, year.fingerprint, stall.fingerprint}
    assert not relay.deliver(OFFICER, [alert(agency="H17", firing=False), year])
    assert not relay.deliver(OPERATIONS, [fault(firing=False)])
    assert not relay.deliver(OFFICER, [low, year])
    assert not relay.deliver(OPERATIONS, [stall])
    assert len(relay.sender.sent) == 2
    relay.clock = ScenarioClock(NIGHT + dt.timedelta(hours=4))
    assert relay.deliver(OFFICER, [low, year])  # Alertmanager repeats what still fires
    assert not relay.deliver(OFFICER, [alert(agency="H17", firing=False)])
    assert relay.deliver(OFFICER, [low, alert(agency="H17", window="7d")])  # with something new
    truth.firing = set()
    assert relay.deliver(OFFICER, [alert(agency="H17", firing=False)])


def test_an_end_that_prometheus_denied_is_told_later(make):
    """What was about to fire again and did not has ended: the end is told as soon as Prometheus does not deny it, once."""
    relay, truth = make(), Truth()
    relay.truth, stall = truth, fault()
    relay.deliver(OPERATIONS, [stall])
    truth.firing = {stall.fingerprint}
    assert not relay.deliver(OPERATIONS, [fault(firing=False)])
    relay.ask_again()
    truth.down = True
    relay.ask_again()
    assert len(relay.sender.sent) == 1
    truth.down, truth.firing = False, set()
    relay.ask_again()
    relay.ask_again()
    assert [message.subject[:15] for _, message, _ in relay.sender.sent] == ["[1 cảnh báo] Hệ", "[1 đã kết thúc]"]


def test_an_end_is_told_once_over_a_channel(make):
    """Alertmanager delivers an end while the same end is being sent: the second waits for its turn and is not sent."""
    relay = make()
    relay.deliver(OFFICER, [alert(agency="H17")])
    send, entered, told = relay.sender.send, threading.Event(), threading.Event()

    def slow_send(*given):
        entered.set()
        told.wait(0.3)  # the other one comes meanwhile; with turns it cannot
        send(*given)

    relay.sender.send = slow_send
    other = threading.Thread(target=relay.deliver, args=(OFFICER, [alert(agency="H17", firing=False)]))
    other.start()
    entered.wait(5)
    assert not relay.deliver(OFFICER, [alert(agency="H17", firing=False)])
    told.set()
    other.join()
    assert len(relay.sender.sent) == 2


def test_a_message_that_was_not_taken_is_an_error(make):
    """Alertmanager hears that it failed, and the relay does not believe that anybody knows."""
    relay = make()
    relay.sender.fails = True
    with pytest.raises(UnavailableError):
        relay.deliver(OFFICER, [alert(agency="H17")])
    assert relay.memory.open() == {}
    assert relay.sent == set()


@pytest.fixture
def server():
    """An HTTP server that answers GET with what ``answers`` holds for the path; None breaks."""
    answers, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(parse_qs(urlsplit(self.path).query))
            body = answers.get(urlsplit(self.path).path)
            found = body(asked[-1]) if callable(body) else body
            self.send_response(200 if found is not None else 500)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_):
            """Quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}", answers, asked
    running.shutdown()
    running.server_close()


def test_an_end_that_alertmanager_never_told(make, server):
    """What people know as firing and Alertmanager no longer has is told to have ended, after twenty minutes and once."""
    url, answers, _ = server
    relay = make(alertmanager=url)
    low = alert(agency="H17")
    relay.deliver(OFFICER, [low])
    answers["/api/v2/alerts"] = [{"fingerprint": low.fingerprint}]
    relay.settle()
    answers["/api/v2/alerts"] = []
    relay.settle()
    relay.clock = ScenarioClock(NIGHT + dt.timedelta(minutes=19))
    relay.settle()
    assert len(relay.sender.sent) == 1
    answers["/api/v2/alerts"] = None  # an Alertmanager that does not answer knows nothing
    relay.settle()
    answers["/api/v2/alerts"] = []
    relay.clock = ScenarioClock(NIGHT + dt.timedelta(minutes=32))
    relay.settle()
    assert len(relay.sender.sent) == 1
    relay.clock = ScenarioClock(NIGHT + dt.timedelta(minutes=53))
    relay.settle()
    relay.settle()
    assert len(relay.sender.sent) == 2
    assert relay.sender.sent[-1][1].subject.startswith("[1 đã kết thúc]")


def test_prometheus_is_asked_about_exactly_this_alert(server):
    """The questions name the alert's labels; text that is not a figure and a server that fails do not count as answers."""
    url, answers, asked = server
    prometheus = Prometheus(url)
    answers["/api/v1/status/runtimeinfo"] = {"data": {"startTime": "2026-11-27T00:00:00Z"}}
    numerator = {"metric": {"__name__": "agency:kpi_numerator:max"}, "value": [0, "25"]}
    denominator = {"metric": {"__name__": "agency:kpi_denominator:max"}, "value": [0, "360"]}
    values = iter([[numerator, denominator], [{}], [], [], [numerator], [denominator], [{"value": [0, "1"]}]])
    answers["/api/v1/query"] = lambda _: {"data": {"result": next(values)}}
    assert prometheus.rate(alert()) == Ratio(25, 360)
    assert prometheus.fires(alert())
    assert not prometheus.fires(alert())
    # Half of a rate is none: 0 of 360 would be a false figure.
    assert [prometheus.rate(alert()) for _ in range(4)] == [None] * 4
    series = '__name__=~"agency:kpi_numerator:max|agency:kpi_denominator:max"'
    assert asked[0]["query"] == [f'{{{series},agency="H26",kpi="I1",window="1d"}}']
    assert asked[1]["query"] == ['ALERTS{alertname="AgencyRateLow",agency="H26",kpi="I1",window="1d",rung="below5"}']
    answers["/api/v1/query"] = None
    with pytest.raises(UnavailableError):
        prometheus.fires(alert())
    assert prometheus.rate(fault()) is None


def test_a_prometheus_that_has_just_started_knows_nothing(server):
    """Within three minutes of its start, and where it does not say when that was, the end of an alert is not known."""
    url, answers, _ = server
    prometheus = Prometheus(url)
    answers["/api/v1/query"] = {"data": {"result": []}}
    now = dt.datetime.now(dt.UTC)
    for begun, known in ((now - dt.timedelta(seconds=170), False), (now - dt.timedelta(seconds=190), True)):
        answers["/api/v1/status/runtimeinfo"] = {"data": {"startTime": begun.isoformat()}}
        if known:
            assert not prometheus.fires(alert())
        else:
            with pytest.raises(UnavailableError, match="does not know yet"):
                prometheus.fires(alert())
    answers["/api/v1/status/runtimeinfo"] = None
    with pytest.raises(UnavailableError, match="since when"):
        prometheus.fires(alert())
    answers["/api/v1/query"] = {"data": {"result": [{"value": [0, "1"]}]}}
    assert prometheus.fires(alert())


def test_the_server_tells_alertmanager_what_became_of_a_delivery(make):
    """200 for what was taken, 5xx for what shall come again, 404 and 400 for what is not a delivery."""
    relay = make()
    server = RelayServer(relay, host="127.0.0.1", port=0, tick_seconds=60)
    server.start()
    try:
        body = {"alerts": [alert(agency="H17").as_json()]}

        def post(path, **options):
            return httpx.post(f"{server.url}{path}", trust_env=False, **options).status_code

        assert post("/deliver/dau-moi-h17/mail", json=body) == 200
        assert post("/deliver/nobody/mail", json=body) == 500
        relay.sender.fails = True
        body["alerts"].append(alert(agency="H17", window="7d").as_json())
        assert post("/deliver/dau-moi-h17/mail", json=body) == 503
        assert post("/elsewhere", json=body) == 404
        for wrong in ({}, {"alerts": []}, {"alerts": [{}]}, [], "x"):
            assert post("/deliver/dau-moi-h17/mail", json=wrong) == 400, wrong
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["messages.sqlite", "messages.json"])
def test_a_memory_that_cannot_be_read_is_named(tmp_path, name):
    """A damaged file ends the start with its name: messages must not be lost without a word."""
    Path(tmp_path, name).write_text("{" * 1_000)
    with pytest.raises(UnavailableError, match=name):
        Memory(tmp_path / "messages.sqlite")


def test_the_memory_of_an_earlier_release_is_taken_over(tmp_path):
    """What people knew and what was held back is known after an upgrade, and the old file is gone."""
    known, held = alert(agency="H17"), alert(agency="H18", severity="warning")
    old = {"held": {str(OFFICER): [held.as_json()]}, "open": {str(OFFICER): [known.as_json()]}}
    earlier = tmp_path / "messages.json"
    earlier.write_text(json.dumps(old))
    for _ in range(2):
        memory = Memory(tmp_path / "messages.sqlite")
        assert memory.open() == {OFFICER: (known,)}
        assert memory.held() == {OFFICER: (held,)}
        assert not earlier.exists()


def test_a_memory_that_cannot_be_taken_over_stays(tmp_path):
    """What people knew is in the old file until all of it is in the new one."""
    old = {"open": {str(OFFICER): [alert(agency="H17").as_json()]}}
    earlier = tmp_path / "messages.json"
    earlier.write_text(json.dumps(old))
    columns = "kind TEXT CHECK (kind = 'held'), route TEXT, fingerprint TEXT, alert TEXT"
    with sqlite3.connect(tmp_path / "messages.sqlite") as file:
        file.execute(f"CREATE TABLE kept ({columns}, PRIMARY KEY (kind, route, fingerprint))")
    with pytest.raises(UnavailableError, match="cannot be read"):
        Memory(tmp_path / "messages.sqlite")
    assert json.loads(earlier.read_text()) == old


def test_a_delivery_that_alertmanager_repeats_is_told_once(make):
    """It gives up waiting for a slow mail server and delivers again; after half an hour it repeats on purpose."""
    relay = make()
    low = alert(agency="H17")
    assert relay.deliver(OFFICER, [low])
    assert not relay.deliver(OFFICER, [low])
    assert not make().deliver(OFFICER, [low]), "also after a restart of the relay"
    assert relay.deliver(OPERATIONS, [low]), "another channel has not heard of it"
    assert relay.deliver(OFFICER, [low, alert(agency="H17", window="7d")]), "one more is news"
    assert relay.deliver(OFFICER, [alert(agency="H17", firing=False)]), "an end is news"
    assert not relay.deliver(OFFICER, [alert(agency="H17", firing=False)])
    relay.clock = ScenarioClock(NIGHT + dt.timedelta(minutes=31))
    assert relay.deliver(OFFICER, [low])


def test_a_message_that_failed_is_not_taken_for_told(make):
    """What the mail server did not take is sent when Alertmanager repeats it."""
    relay = make()
    relay.sender.fails = True
    with pytest.raises(UnavailableError):
        relay.deliver(OFFICER, [alert(agency="H17")])
    relay.sender.fails = False
    assert relay.deliver(OFFICER, [alert(agency="H17")])


def test_a_memory_that_cannot_be_written_repeats_no_message(make, tmp_path, capsys):
    """A full disk or another process: people are told once, and the log says that a restart will not know it."""
    relay = make()
    other = sqlite3.connect(tmp_path / "m" / "messages.sqlite")
    other.execute("BEGIN EXCLUSIVE")
    low = alert(agency="H17")
    assert relay.deliver(OFFICER, [low])
    assert not relay.deliver(OFFICER, [low])
    assert relay.memory.open() == {OFFICER: (low,)}
    assert "memory_not_written" in "".join(capsys.readouterr())
    other.rollback()
    assert make().memory.open() == {}


def test_a_memory_of_ten_thousand_agencies_is_written_by_the_row(tmp_path):
    """Each message writes its own alerts, not those of everybody: the file grows by rows."""
    memory = Memory(tmp_path / "messages.sqlite")
    for number in range(300):
        memory.told(OFFICER, [alert(agency=f"X{number}")])
    counted = sqlite3.connect(tmp_path / "messages.sqlite")
    changes = memory._file.total_changes  # the rows that were written
    memory.told(OFFICER, [alert(agency="X300")])
    assert memory._file.total_changes - changes <= 2
    assert counted.execute("SELECT count(*) FROM kept").fetchone() == (301,)
