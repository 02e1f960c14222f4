"""Stand-ins for people: a mail server, Telegram's API and a webhook, which keep every message with the time at which it came."""

from __future__ import annotations

import email
import email.policy
import html
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from dashboards.notify.webhooks import WebhookServer
from deploy.native.ports import LOOPBACK, free_port
from domain.errors import ConfigurationError

CHANNELS: Final = ("mail", "telegram", "webhook")
_LINK: Final = re.compile(r'<a href="([^"]+)">([^<]*)</a>')
_TAG: Final = re.compile(r"<[^>]+>")


@dataclass(frozen=True, slots=True)
class Received:
    """A message as a person received it. ``at``: seconds of a monotonic clock."""

    to: str
    channel: str
    subject: str
    text: str
    at: float


class Sinks:
    """Mail server, Telegram's API and webhook on loopback ports; enter the object to start them.

    Args:
        chats: id of each Telegram chat -> its person.
    """

    def __init__(self, chats: dict[str, str]) -> None:
        """Begin to listen; answer when entered.

        Raises:
            ConfigurationError: the mail server is not installed.
        """
        try:
            from aiosmtpd.controller import Controller  # noqa: PLC0415 - of this command and of tests only
        except ImportError as error:
            raise ConfigurationError(
                "The mail server aiosmtpd is not installed.", remedy="Install portalpulse with its extra: pip install '.[dev]'."
            ) from error
        self._chats = chats
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self.smtp_port = free_port()
        self._mail = Controller(self, hostname=LOOPBACK, port=self.smtp_port)
        self._web = WebhookServer(LOOPBACK, 0, self._take)

    @property
    def url(self) -> str:
        """The address of the webhook (``/hook/PERSON``) and of Telegram's API (``/bot...``)."""
        return self._web.url

    def __enter__(self) -> Self:
        """Start answering."""
        self._mail.start()
        self._web.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop answering."""
        self._mail.stop()
        self._web.stop()

    def received(self, since: int = 0) -> Sequence[Received]:
        """The messages from number ``since`` on, in their order."""
        with self._lock:
            return tuple(self._received[since:])

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the name aiosmtpd uses
        """Keep a received mail."""
        content = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = content.get_body(["plain"])
        text = "" if body is None else str(body.get_content())
        for address in envelope.rcpt_tos:
            self._keep(address.partition("@")[0], "mail", str(content["Subject"]), text)
        return "250 OK"

    def _take(self, path: str, body: dict[str, Any]) -> HTTPStatus:
        if path.startswith("/hook/"):
            self._keep(path.rpartition("/")[2], "webhook", str(body["subject"]), str(body["text"]))
        elif path.endswith("/sendMessage"):
            text = html.unescape(_TAG.sub("", _LINK.sub(r"\2: \1", str(body["text"]))))
            self._keep(self._chats[str(body["chat_id"])], "telegram", text.partition("\n")[0], text)
        else:
            return HTTPStatus.NOT_FOUND
        return HTTPStatus.OK

    def _keep(self, to: str, channel: str, subject: str, text: str) -> None:
        with self._lock:
            self._received.append(Received(to, channel, subject, text, time.monotonic()))
