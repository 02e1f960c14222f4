"""From a real Alertmanager over the relay to a mail server, a webhook and a stand-in for Telegram: one message an incident."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from aiosmtpd.controller import Controller

from dashboards.alertmanager.generate import AlertTiming, render_routes
from dashboards.notify.channels import Channels, Secrets
from dashboards.notify.content import Links
from dashboards.notify.memory import Memory
from dashboards.notify.recipients_file import parse_recipients
from dashboards.notify.relay import Relay
from dashboards.notify.relay_server import RelayServer
from deploy.native.ports import free_port
from deploy.native.processes import wait_until
from deploy.native.services.alertmanager import AlertmanagerServer
from domain.agencies import AgencyRegistry
from domain.clock import SystemClock
from domain.indicators import Ratio
from tests.alert_messages import alert, fault

pytestmark = pytest.mark.integration

PEOPLE = """
mail: {{server: "127.0.0.1:{smtp}", sender: canhbao@example.vn, security: none}}
telegram: {{api: "{http}"}}
operations: [truc]
recipients:
  truc: {{name: Trực, hours: any, channels: {{telegram: "-1"}}}}
  h17: {{name: H17, agencies: [H17], channels: {{mail: h17@example.vn}}, escalation: {{to: lanh-dao, after: 2h}}}}
  lanh-dao: {{name: Lãnh đạo, hours: any, channels: {{mail: lanhdao@example.vn}}}}
  observer: {{name: Observer, language: en, hours: any, agencies: [H17], channels: {{webhook: "{http}/hook"}}}}
"""


class Sinks:
    """What mail server, Telegram and webhook received, in their order."""

    def __init__(self):
        self.mails, self.chats, self.hooks, self.away = [], [], [], True
        self.mail_server = Controller(self, hostname="127.0.0.1", port=free_port())
        self.web = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.web.server_address[1]}"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - the name aiosmtpd uses
        content = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.rcpt_tos[0], content["Subject"], content.get_body(["plain"]).get_content()))
        return "250 OK"

    def to(self, address):
        """The mails to one address: subject and text."""
        return [(subject, text) for to, subject, text in self.mails if to == address]

    def _handler(sinks):  # noqa: N805 - `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/hook" and sinks.away:  # the first attempt fails
                    sinks.away = False
                    self.send_response(503)
                else:
                    (sinks.hooks if self.path == "/hook" else sinks.chats).append(body)
                    self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"ok": true}')

            def log_message(self, *_):
                """Quiet."""

        return Handler

    def __enter__(self):
        self.mail_server.start()
        threading.Thread(target=self.web.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.mail_server.stop()
        self.web.shutdown()
        self.web.server_close()


class Present:
    """A Prometheus that confirms every end and knows the present rate."""

    def fires(self, _alert):
        return False

    def rate(self, _alert):
        return Ratio(25, 360)


STARTS = {}


def wire(given, *, ended=False):
    """An alert as Prometheus posts it: an end has the start of its alert."""
    now = dt.datetime.now(dt.UTC)
    started = STARTS.setdefault(given.fingerprint, now)
    fields = {"labels": {name: text for name, text in given.labels.items() if text}, "annotations": dict(given.annotations)}
    return fields | {"startsAt": started.isoformat()} | ({"endsAt": now.isoformat()} if ended else {})


def test_every_incident_is_one_right_message(tmp_path, alertmanager_program):  # noqa: PLR0915 - one start for many rules
    """Ladder and windows of an agency, the superior, a stall that mutes, the end, 84 agencies: one right message each."""
    registry = AgencyRegistry.packaged()
    alertmanager = AlertmanagerServer(data_dir=tmp_path / "am", log_dir=tmp_path / "logs", binary=alertmanager_program)
    with Sinks() as sinks:
        text = PEOPLE.format(smtp=sinks.mail_server.port, http=sinks.url)
        today = dt.datetime.now(dt.UTC).date()
        people = parse_recipients(text, registry, day=today, name="r.yaml", folder=tmp_path)
        channels = Channels(people, Secrets(telegram_token="1:AA"), clock=SystemClock())
        relay = Relay(people, channels, Memory(tmp_path / "messages.sqlite"), SystemClock(), links=Links(), truth=Present())
        relay.alertmanager, relay.forgotten_after = alertmanager.url, dt.timedelta(seconds=1)
        server = RelayServer(relay, host="127.0.0.1", port=0, tick_seconds=0.3)
        alertmanager.config.parent.mkdir()
        alertmanager.config.write_text(render_routes(people, timing=AlertTiming.demo(), relay_url=server.url), encoding="utf-8")

        def post(*given, ended=False):
            body = [wire(each, ended=ended) for each in given]
            httpx.post(f"{alertmanager.url}/api/v2/alerts", json=body, trust_env=False).raise_for_status()

        def await_messages(found, what):
            wait_until(found, timeout=40, what=what)

        server.start()
        try:
            alertmanager.start()
            low = [alert(agency="H17", rung=rung) for rung in ("below5", "below10", "target")]
            low += [alert(agency="H17", window="ytd", severity="warning")]
            post(*low, alert("AgencyRateDropped", agency="H17", severity="warning", rung=""))
            await_messages(lambda: sinks.to("h17@example.vn") and sinks.to("lanhdao@example.vn") and sinks.chats, "the messages")
            await_messages(lambda: sinks.hooks, "the webhook, at the second attempt")
            ((subject, said),) = sinks.to("h17@example.vn")
            assert subject == "[2 cảnh báo] Hà Nội (H17): tỷ lệ hồ sơ trực tuyến toàn trình 2,88 %, dưới ngưỡng 5 %"
            assert "Kỳ khác cũng dưới ngưỡng: từ đầu năm 2,88 %" in said
            assert len(sinks.to("lanhdao@example.vn")) == 1
            assert sinks.hooks[0]["subject"] == "[2 firing] Ha Noi (H17): rate of fully online dossiers 2.88 %, below 5 %"

            chats = len(sinks.chats)
            post(fault())
            await_messages(lambda: len(sinks.chats) > chats, "the stall")
            assert "Sự kiện mới nhất đã cách đây 12 phút." in sinks.chats[-1]["text"]
            post(*low, alert("AgencyRateDropped", agency="H17", severity="warning", rung=""), ended=True)
            many = [alert(agency=f"A{number:02d}") for number in range(84)]
            post(alert(agency="G02", rung="zero", numerator="0"), *many)
            await_messages(lambda: len(sinks.to("h17@example.vn")) == 2, "the end that Alertmanager does not tell")
            (subject, said) = sinks.to("h17@example.vn")[1]
            assert subject.startswith("[2 đã kết thúc] Hà Nội (H17)")
            assert "hiện là 6,94 % (25/360 hồ sơ)" in said
            await_messages(lambda: not relay.memory.open(), "the end to reach the others, too")
            assert not [chat for chat in sinks.chats if "(G02)" in chat["text"]]

            post(fault(), ended=True)
            await_messages(lambda: [chat for chat in sinks.chats if "(G02)" in chat["text"]], "what was muted and still fires")
            (chat,) = [chat for chat in sinks.chats if "(G02)" in chat["text"] or "(A00)" in chat["text"]]
            assert chat["text"].startswith("<b>[85 cảnh báo] 85 cơ quan: ")
            assert len(sinks.to("h17@example.vn")) == 2
            assert max(len(chat["text"]) for chat in sinks.chats) <= 4096
        finally:
            alertmanager.stop()
            server.stop()
