"""Sending: mail, Telegram, webhook and chat as servers receive them; no secret in an error or a log."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import logging
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from dashboards.notify.channels import Channels, Secrets
from dashboards.notify.content import Links, content_of
from dashboards.notify.messages import message_of
from dashboards.notify.recipients_file import parse_recipients
from dashboards.notify.words import LANGUAGES
from deploy.native.ports import free_port
from domain.agencies import AgencyRegistry
from domain.clock import ScenarioClock
from domain.errors import ConfigurationError, UnavailableError
from tests.alert_messages import STARTED, alert

PASSWORD, TOKEN, CHAT = "pass word-1", "1234:AAE-secret", "/hook/secret"
NO_SECRETS = Secrets()
PEOPLE = """
mail: {{server: "127.0.0.1:{smtp}", sender: canhbao@example.vn, security: {security},
  username: canhbao, password_file: {password}}}
telegram: {{token_file: {token}, api: "{http}"}}
operations: [a]
recipients:
  a:
    name: A
    channels: {{mail: [a@example.vn, b@example.vn], telegram: ["-1"], webhook: "{http}/hook", chat_file: chat}}
"""


class Mailbox:
    """What an SMTP server received."""

    def __init__(self):
        self.mails, self.refuses = [], False

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - the name aiosmtpd uses
        if self.refuses:
            return "554 5.7.1 not wanted"
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    """Accepts one password."""
    return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@pytest.fixture
def mailbox():
    """An SMTP server that wants a password."""
    box = Mailbox()
    options = {"authenticator": authenticate, "auth_require_tls": False, "auth_exclude_mechanism": ["LOGIN"]}
    box.controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
    box.controller.start()
    box.port = box.controller.port
    yield box
    box.controller.stop()


@pytest.fixture
def posted():
    """A web server that keeps what is posted to it: path and body. ``status`` is what it answers."""
    found = {"status": 200, "bodies": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            found["bodies"].append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(found["status"])
            self.end_headers()
            self.wfile.write(json.dumps({"ok": False, "description": "Bad Request: chat not found"}).encode())

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    found["url"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def make(tmp_path, mailbox, posted):
    """Makes the channels of one person, with secrets in files."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "chat").write_text(f"{posted['url']}{CHAT}\n")

    def go(*, password="password", token="token", smtp=None, secrets=NO_SECRETS, security="none"):
        filled = {"smtp": smtp or mailbox.port, "http": posted["url"], "password": password, "token": token}
        text = PEOPLE.format(**filled, security=security)
        registry = AgencyRegistry.packaged()
        directory = parse_recipients(text, registry, day=dt.date(2026, 11, 27), name="r.yaml", folder=tmp_path)
        return Channels(directory, secrets, clock=ScenarioClock(STARTED))

    return go


WORDS = LANGUAGES["vi"]
MESSAGE = message_of(content_of([alert()], WORDS, links=Links()), WORDS)


def test_every_channel_gets_its_form(make, mailbox, posted):
    """A mail with text and HTML to both addresses at once, HTML for Telegram, JSON for a webhook, text for a chat."""
    channels = make()
    channels.check_secrets()
    for name in ("mail", "telegram", "webhook", "chat"):
        channels.send("a", name, MESSAGE, [alert()])
    ((addresses, mail),) = mailbox.mails
    assert addresses == ["a@example.vn", "b@example.vn"]
    assert mail["Subject"] == MESSAGE.subject
    assert mail["From"] == "portalpulse <canhbao@example.vn>"
    assert mail["Date"].datetime == STARTED
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_body(["plain"]).get_content() == MESSAGE.text
    assert mail.get_body(["html"]).get_content() == MESSAGE.html
    bodies = dict(posted["bodies"])
    assert bodies[f"/bot{TOKEN}/sendMessage"]["text"] == MESSAGE.telegram
    assert bodies[f"/bot{TOKEN}/sendMessage"] | {"text": ""} == {
        "chat_id": "-1",
        "text": "",
        "parse_mode": "HTML",
        "disable_web_page_preview": True,
    }
    assert bodies["/hook"]["alerts"][0]["labels"]["agency"] == "H26"
    assert (bodies["/hook"]["subject"], bodies["/hook"]["language"]) == (MESSAGE.subject, "vi")
    assert bodies[CHAT] == {"text": MESSAGE.text}


def test_secrets_of_settings(make, mailbox, posted):
    """Where the file names no secret, that of the settings is used."""
    channels = make(password='""', token='""', secrets=Secrets(smtp_password=PASSWORD, telegram_token=TOKEN))
    channels.send("a", "mail", MESSAGE, [])
    channels.send("a", "telegram", MESSAGE, [])
    assert len(mailbox.mails) == 1
    assert posted["bodies"][0][0] == f"/bot{TOKEN}/sendMessage"


def test_no_secret_in_an_error_or_a_log(make, mailbox, posted, tmp_path, caplog):
    """A server that refuses or is away, a wrong password, a missing file: what went wrong is said, without the secret."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # of the server in this test
    said = []

    def fail(channels, name, kind=UnavailableError):
        with pytest.raises(kind) as caught:
            channels.send("a", name, MESSAGE, [])
        said.append(str(caught.value))
        assert caught.value.__cause__ is None

    posted["status"] = 400
    fail(make(), "telegram")
    assert "chat not found" in said[-1]
    fail(make(), "webhook")
    fail(make(), "chat")
    mailbox.refuses = True
    fail(make(), "mail")
    assert "554 5.7.1 not wanted" in said[-1]
    (tmp_path / "password").write_text("wrong-secret")
    fail(make(), "mail")
    assert "does not accept username and password" in said[-1]
    fail(make(smtp=1), "mail")
    (tmp_path / "chat").write_text(f"http://127.0.0.1:1{CHAT}")
    fail(make(), "chat")
    (tmp_path / "chat").write_text("two\nlines-secret")
    fail(make(), "chat", ConfigurationError)
    (tmp_path / "token").unlink()
    fail(make(), "telegram", ConfigurationError)
    assert "mode 0600" in said[-1]
    (tmp_path / "password").write_text("mật-secret", encoding="utf-8")
    fail(make(), "mail", ConfigurationError)
    assert "must be ASCII" in said[-1]
    fail(make(token='""'), "telegram", ConfigurationError)
    assert "PORTALPULSE_NOTIFY__TELEGRAM_TOKEN" in said[-1]
    for secret in (PASSWORD, TOKEN, CHAT, "wrong-secret", "lines-secret", "mật-secret"):
        assert not [text for text in [*said, caplog.text] if secret in text], secret


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that nobody but who names it trusts, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "server.pem", folder / "server.key"
    options = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", *options, *names, "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return paths


@pytest.fixture(params=["tls", "starttls"])
def encrypted(request, certificate):
    """A mail server that takes a password only over an encrypted connection: from the start, or after STARTTLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    over = {"ssl_context": context} if request.param == "tls" else {"tls_context": context, "require_starttls": True}
    box = Mailbox()
    options = {"authenticator": authenticate, "auth_exclude_mechanism": ["LOGIN"], "auth_require_tls": request.param != "tls"}
    box.controller = Controller(box, hostname="127.0.0.1", port=free_port(), **over, **options)
    box.security, box.port = request.param, box.controller.port
    box.controller.start()
    yield box
    box.controller.stop()


def test_mail_goes_over_an_encrypted_connection(make, encrypted, certificate, monkeypatch):
    """To a server whose certificate the system trusts; another one gets neither the message nor the password."""
    channels = make(smtp=encrypted.port, security=encrypted.security)
    with pytest.raises(UnavailableError, match="did not take a message"):
        channels.send("a", "mail", MESSAGE, [])
    assert encrypted.mails == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    channels.send("a", "mail", MESSAGE, [])
    assert len(encrypted.mails) == 1


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_server_without_encryption_gets_no_mail(make, mailbox, security):
    """What the recipients file demands is not given up because a server does not offer it."""
    with pytest.raises(UnavailableError, match="did not take a message"):
        make(security=security).send("a", "mail", MESSAGE, [])
    assert mailbox.mails == []


def test_a_channel_that_a_person_does_not_have(make):
    """An address of a channel that was removed from the file is an error that names the others."""
    with pytest.raises(ConfigurationError, match="Choose mail, telegram, webhook, chat"):
        make().send("a", "sms", MESSAGE, [])
