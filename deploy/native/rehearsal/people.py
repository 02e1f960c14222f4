"""The people of a rehearsal: two of operations and two of all agencies; one of each two reads Vietnamese, the other English."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deploy.native.rehearsal.sinks import CHANNELS


@dataclass(frozen=True, slots=True)
class Reader:
    """A person: ``key`` is the id, and the part of the mail address before @; ``chat`` is the id of the Telegram chat."""

    key: str
    language: str
    chat: str
    operations: bool


READERS: Final = (
    Reader("truc", "vi", "-1", operations=True),
    Reader("duty", "en", "-2", operations=True),
    Reader("can-bo", "vi", "-3", operations=False),
    Reader("officer", "en", "-4", operations=False),
)
OPERATIONS: Final = tuple(reader for reader in READERS if reader.operations)
AGENCIES: Final = tuple(reader for reader in READERS if not reader.operations)
CHATS: Final = {reader.chat: reader.key for reader in READERS}
#: What the stand-in for Telegram takes for a token.
TOKEN: Final = "0:rehearsal"  # noqa: S105 - no secret


def recipients_text(*, smtp_port: int, http: str) -> str:
    """The text of the recipients file; every person has every channel at any hour.

    Args:
        smtp_port: the port of the mail server on this machine.
        http: the address of webhook and Telegram.
    """
    people = "".join(
        f"  {reader.key}: {{name: {reader.key}, language: {reader.language}, hours: any, "
        f"{'' if reader.operations else 'agencies: all, '}"
        f'channels: {{mail: {reader.key}@example.vn, telegram: "{reader.chat}", webhook: "{http}/hook/{reader.key}"}}}}\n'
        for reader in READERS
    )
    return (
        f'mail: {{server: "127.0.0.1:{smtp_port}", sender: canhbao@example.vn, security: none}}\n'
        f'telegram: {{api: "{http}"}}\n'
        f"operations: [{', '.join(reader.key for reader in OPERATIONS)}]\n"
        f"recipients:\n{people}"
    )


def places(readers: tuple[Reader, ...]) -> frozenset[tuple[str, str]]:
    """Every (person, channel) pair of the readers."""
    return frozenset((reader.key, channel) for reader in readers for channel in CHANNELS)
