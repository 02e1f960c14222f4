"""The model of the recipients file: people, their agencies, channels, languages and hours.

Pure: the file is read in ``recipients_file``. A secret (password, token, address of a chat) is a file or a setting.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from dashboards.urls import is_http_url

Language = Literal["vi", "en"]
ChannelName = Literal["mail", "telegram", "webhook", "chat"]

#: What may stand for agencies instead of a code.
ALL: Final = "all"
BLOCKS: Final = {"ministries": "ministry", "provinces": "province"}
#: Alertmanager repeats a group too early above its retention (120 h).
MAX_ESCALATION: Final = dt.timedelta(hours=100)

_DURATION: Final = re.compile(r"(\d{1,4})\s*(m|h)", re.ASCII)
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3])[:h]([0-5]\d)", re.ASCII)
_MAIL: Final = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+\.[^\s@<>,;\"]+")
_CHAT_ID: Final = re.compile(r"-?\d{1,20}|@\w{4,32}", re.ASCII)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _address(text: str) -> str:
    if not _MAIL.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not a mail address; write one as name@example.vn")
    return text


def _chat_id(text: str) -> str:
    if not _CHAT_ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not the id of a Telegram chat; write a number such as -1001234567890, or @channel")
    return text


def _url(text: str) -> str:
    if not is_http_url(text) or not text.isprintable() or " " in text:
        raise ValueError("it is not an address; write http://host/path or https://host/path")
    return text


def _clock(text: Any) -> Any:
    if isinstance(text, dt.time):
        return text
    found = _CLOCK.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{str(text)[:20]!r} is not a time of day; write 07:30")
    return dt.time(int(found[1]), int(found[2]))


def _duration(text: Any) -> Any:
    if isinstance(text, dt.timedelta):
        return text
    found = _DURATION.fullmatch(str(text))
    if found is None or not int(found[1]):
        raise ValueError(f"{str(text)[:20]!r} is not a time; write 4h or 90m")
    return dt.timedelta(hours=int(found[1])) if found[2] == "h" else dt.timedelta(minutes=int(found[1]))


def _server(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text[:60]!r} is not a server; write host:port, such as mail.example.vn:587")
    return text


def _weekdays(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    first, _, last = value.strip().lower().partition("-")
    if first not in _DAYS or (last and last not in _DAYS):
        raise ValueError(f"{value[:20]!r} are not days; write mon-fri")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    if end < begin:
        raise ValueError(f"{value[:20]!r} ends before it begins; write mon-fri")
    return tuple(range(begin, end + 1))


Time = Annotated[dt.time, BeforeValidator(_clock)]
Duration = Annotated[dt.timedelta, BeforeValidator(_duration)]
Url = Annotated[str, AfterValidator(_url)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
MailAddresses = Annotated[tuple[Annotated[str, AfterValidator(_address)], ...], BeforeValidator(_listed)]
ChatIds = Annotated[tuple[Annotated[str, AfterValidator(_chat_id)], ...], BeforeValidator(_listed)]
Urls = Annotated[tuple[Url, ...], BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = {"extra": "forbid", "frozen": True}


class MailServer(_Part):
    """The server through which mail is sent."""

    server: Annotated[str, AfterValidator(_server)]
    sender: Annotated[str, AfterValidator(_address)]
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str = ""

    @property
    def host(self) -> str:
        """The name of the server."""
        return self.server.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self.server.rpartition(":")[2])


class TelegramBot(_Part):
    """The bot that sends messages in Telegram."""

    token_file: str = ""
    api: Url = "https://api.telegram.org"


class OfficeHours(_Part):
    """When people are at work, in the time of Viet Nam. Public holidays are built in; ``holidays`` are further days off."""

    days: Annotated[tuple[int, ...], BeforeValidator(_weekdays)] = (0, 1, 2, 3, 4)
    start: Time = Field(dt.time(7, 30), alias="from")
    end: Time = Field(dt.time(17, 30), alias="to")
    holidays: tuple[dt.date, ...] = ()
    working_days: tuple[dt.date, ...] = ()

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> OfficeHours:
        if self.start >= self.end:
            raise ValueError("'from' must be before 'to'")
        return self


class Escalation(_Part):
    """A superior who is told of a critical alert of the same agencies that still fires after some time."""

    to: str
    after: Duration

    @model_validator(mode="after")
    def _within_the_memory_of_alertmanager(self) -> Escalation:
        if self.after > MAX_ESCALATION:
            raise ValueError(f"'after' may be at most {int(MAX_ESCALATION.total_seconds() // 3600)}h")
        return self


class Channels(_Part):
    """The channels on which a person reads messages. ``*_file``: a file with the address, when the address itself is a secret."""

    mail: MailAddresses = ()
    telegram: ChatIds = ()
    webhook: Urls = ()
    webhook_file: Names = ()
    chat: Urls = ()
    chat_file: Names = ()

    @model_validator(mode="after")
    def _at_least_one(self) -> Channels:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("there is none; write one of mail, telegram, webhook, webhook_file, chat, chat_file")
        return self

    @property
    def names(self) -> tuple[ChannelName, ...]:
        """The kinds of channels that the person has."""
        given: dict[ChannelName, bool] = {
            "mail": bool(self.mail),
            "telegram": bool(self.telegram),
            "webhook": bool(self.webhook or self.webhook_file),
            "chat": bool(self.chat or self.chat_file),
        }
        return tuple(name for name, there in given.items() if there)


class Recipient(_Part):
    """A person or a mailbox. ``hours``: when messages that are not critical may come; critical ones come at any hour."""

    name: str = Field(min_length=1)
    language: Language = "vi"
    agencies: Names = ()
    channels: Channels
    hours: Literal["office", "any"] = "office"
    escalation: Escalation | None = None


class Recipients(_Part):
    """The content of the recipients file. ``default``: who is told about an agency without recipients; empty: ``operations``."""

    mail: MailServer | None = None
    telegram: TelegramBot | None = None
    office_hours: OfficeHours = OfficeHours()
    operations: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(min_length=1)
    default: Names = ()
    recipients: dict[str, Recipient] = Field(min_length=1)
