"""Sends a message over one channel of one person: mail, Telegram, a webhook, a chat.

An error never quotes an address or a token: addresses of chats and of Telegram's API are secrets themselves.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr, make_msgid
from pathlib import Path
from typing import Any, Final

import httpx

from dashboards.notify.alerts import Alert
from dashboards.notify.messages import Message
from dashboards.notify.recipients import MailServer
from dashboards.notify.recipients_file import Directory
from dashboards.urls import is_http_url
from domain.clock import Clock
from domain.errors import ConfigurationError, UnavailableError
from pipeline.bounded_files import bounded_content

#: Longest wait for a server (seconds). Alertmanager asks again.
_TIMEOUT_SECONDS: Final = 20.0
#: Version of the body that webhooks get.
_WEBHOOK_VERSION: Final = 1
#: Longest content of a file with a secret (bytes).
_LONGEST_SECRET: Final = 65_536

for _library in ("httpx", "httpcore"):  # they write addresses, and with them tokens
    logging.getLogger(_library).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords and tokens from the settings; where the recipients file names a file, that file wins."""

    smtp_password: str = ""
    telegram_token: str = ""


class Channels:
    """The channels of all recipients in a recipients file."""

    def __init__(self, directory: Directory, secrets: Secrets, *, clock: Clock) -> None:
        self._directory, self._secrets, self._clock = directory, secrets, clock
        # One for all messages: its certificates are read once.
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS)

    def send(self, key: str, channel: str, message: Message, alerts: Sequence[Alert]) -> None:
        """Send one message over one channel of the recipient ``key``.

        Raises:
            ConfigurationError: the person has no such channel, or a file with a secret cannot be read.
            UnavailableError: the server did not take the message.
        """
        person = self._directory.person(key)
        if channel not in person.channels.names:
            raise ConfigurationError(
                f"{key} has no channel {channel[:20]!r}.", remedy=f"Choose {', '.join(person.channels.names)}."
            )
        given = person.channels
        if channel == "mail":
            self._mail(given.mail, message)
        elif channel == "telegram":
            for chat in given.telegram:
                self._telegram(chat, message)
        elif channel == "webhook":
            body = _webhook_body(message, person.language, alerts)
            for url in [*given.webhook, *self._from_files(given.webhook_file)]:
                self._post(url, body, what=f"the webhook of {key}")
        else:
            for url in [*given.chat, *self._from_files(given.chat_file)]:
                self._post(url, {"text": message.text}, what=f"the chat of {key}")

    def check_secrets(self) -> None:
        """Check that every file with a secret can be read.

        Raises:
            ConfigurationError: a file cannot be read, or a password or token is missing.
        """
        recipients = self._directory.recipients
        if recipients.mail is not None and recipients.mail.username:
            self._password(recipients.mail)
        people = recipients.recipients.values()
        if any(person.channels.telegram for person in people):
            self._token()
        for person in people:
            list(self._from_files((*person.channels.webhook_file, *person.channels.chat_file)))

    def _mail(self, addresses: Sequence[str], message: Message) -> None:
        server = self._directory.recipients.mail
        assert server is not None, "checked with the file"
        mail = mail_of(message, sender=server.sender, addresses=addresses, date=self._clock)
        try:
            with _connection(server) as connection:
                if server.username:
                    connection.login(server.username, self._password(server))
                refused = connection.send_message(mail, server.sender, list(addresses))
        except (OSError, smtplib.SMTPException) as error:
            raise UnavailableError(
                f"The mail server {server.server} did not take a message: {_reason(error)}.",
                remedy="Check server, security, username and password in the recipients file.",
            ) from None
        if refused:
            raise UnavailableError(f"The mail server {server.server} refused {len(refused)} of {len(addresses)} addresses.")

    def _telegram(self, chat: str, message: Message) -> None:
        bot = self._directory.recipients.telegram
        assert bot is not None, "checked with the file"
        body = {"chat_id": chat, "text": message.telegram, "parse_mode": "HTML", "disable_web_page_preview": True}
        self._post(f"{bot.api.rstrip('/')}/bot{self._token()}/sendMessage", body, what=f"Telegram (chat {chat})")

    def _post(self, url: str, body: Mapping[str, Any], *, what: str) -> None:
        if not is_http_url(url):
            raise ConfigurationError(f"The address of {what} is not one.", remedy="Write https://host/path into its file.")
        try:
            answer = self._client.post(url, json=dict(body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(f"{_first_up(what)} does not answer ({type(error).__name__}).") from None
        if not answer.is_success:
            raise UnavailableError(f"{_first_up(what)} answers {answer.status_code}: {_described(answer)}.")

    def _password(self, server: MailServer) -> str:
        found = self._secret(server.password_file, self._secrets.smtp_password, "PORTALPULSE_NOTIFY__SMTP_PASSWORD", "password")
        if not (found + server.username).isascii():
            raise ConfigurationError(
                "Username and password of the mail account must be ASCII.",
                remedy="Choose a password of letters, digits and signs.",
            )
        return found

    def _token(self) -> str:
        bot = self._directory.recipients.telegram
        file = "" if bot is None else bot.token_file
        return self._secret(file, self._secrets.telegram_token, "PORTALPULSE_NOTIFY__TELEGRAM_TOKEN", "token of Telegram")

    def _secret(self, file: str, setting: str, variable: str, what: str) -> str:
        if file:
            return next(iter(self._from_files([file])))
        if not setting:
            raise ConfigurationError(f"The {what} is missing.", remedy=f"Name a file in the recipients file, or set {variable}.")
        return setting

    def _from_files(self, names: Iterable[str]) -> Iterable[str]:
        for name in names:
            path = self._directory.folder / Path(name)
            try:
                text = (
                    bounded_content(path, maximum=_LONGEST_SECRET).decode("utf-8").strip()
                )  # a final newline is not part of a password
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
                raise ConfigurationError(
                    f"The file {path} with a secret cannot be read: {reason}.",
                    remedy="Create it (mode 0600), readable for the user that runs this.",
                ) from None
            if not text or not text.isprintable():
                raise ConfigurationError(f"The file {path} must hold one line.", remedy="Write the secret into it, nothing else.")
            yield text


def mail_of(message: Message, *, sender: str, addresses: Sequence[str], date: Clock) -> MIMEMultipart:
    """A mail with plain text and HTML."""
    mail = MIMEMultipart("alternative")
    # EmailMessage loses spaces where it divides a long subject that is not ASCII (Python 3.11).
    mail["Subject"] = Header(message.subject, "utf-8", header_name="Subject").encode()
    mail["From"] = formataddr(("portalpulse", sender))
    mail["To"] = ", ".join(addresses)
    mail["Date"] = format_datetime(date.now())
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.attach(MIMEText(message.text, "plain", "utf-8"))
    mail.attach(MIMEText(message.html, "html", "utf-8"))
    return mail


def _connection(server: MailServer) -> smtplib.SMTP:
    """Open a connection to the mail server, encrypted as the recipients file says.

    Raises:
        OSError, smtplib.SMTPException: the server does not answer or refuses the connection.
    """
    make: Callable[..., smtplib.SMTP] = smtplib.SMTP
    extra: dict[str, Any] = {}
    if server.security == "tls":
        make, extra = smtplib.SMTP_SSL, {"context": ssl.create_default_context()}
    connection = make(server.host, server.port, timeout=_TIMEOUT_SECONDS, **extra)
    if server.security == "starttls":
        try:
            connection.starttls(context=ssl.create_default_context())
        except BaseException:
            connection.close()
            raise
    return connection


def _webhook_body(message: Message, language: str, alerts: Sequence[Alert]) -> dict[str, Any]:
    return {
        "version": _WEBHOOK_VERSION,
        "language": language,
        "subject": message.subject,
        "text": message.text,
        "alerts": [alert.as_json() for alert in alerts],
    }


def _described(answer: httpx.Response) -> str:
    """The ``description`` in an answer, as Telegram sends, else its reason phrase: other texts may repeat secrets."""
    try:
        return str(answer.json()["description"])[:120]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase or "no reason"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "it does not accept username and password"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
        return f"{error.smtp_code} {' '.join(said.split())[:120]}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "it refuses every address"
    return getattr(error, "strerror", None) or type(error).__name__
