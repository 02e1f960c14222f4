"""The messages that people must receive in a rehearsal: each once, on every channel, in their language, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dashboards.notify.words import LANGUAGES
from deploy.native.rehearsal.people import AGENCIES, OPERATIONS, READERS, Reader, places
from deploy.native.rehearsal.sinks import Received
from domain.agencies import Agency
from domain.indicators import Ratio

_LANGUAGE: Final = {reader.key: reader.language for reader in READERS}
_FOR_OPERATIONS: Final = frozenset(reader.key for reader in OPERATIONS)
#: A subject about one agency or several.
_ABOUT_AGENCIES: Final = re.compile(r"\([GH]\d\d\): |^\[[^\]]*\] \d+ (cơ quan|agencies): ")
_ENDED: Final = re.compile(r"^\[[^\]]*(đã kết thúc|ended)\]")


@dataclass(frozen=True, slots=True)
class Expectation:
    """A message that some people must receive.

    ``subjects`` and ``says`` (parts of the text): by language.
    """

    what: str
    readers: tuple[Reader, ...]
    subjects: Mapping[str, str]
    says: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def is_met_by(self, message: Received) -> bool:
        """Whether ``message`` is the expected message."""
        language = _LANGUAGE[message.to]
        return (
            any(message.to == reader.key for reader in self.readers)
            and message.subject == self.subjects[language]
            and all(part in message.text for part in self.says.get(language, ()))
        )

    def missing(self, messages: Sequence[Received]) -> frozenset[tuple[str, str]]:
        """The (person, channel) pairs that have not received the message."""
        return places(self.readers) - {(message.to, message.channel) for message in messages if self.is_met_by(message)}


def low(agency: Agency, counts: Ratio) -> Expectation:
    """The expected message to an agency's people that its rate is low, with how many dossiers are missing."""
    subjects, says = {}, {}
    for language, words in LANGUAGES.items():
        who, rate = _who(agency, language), words.rate(counts)
        kpi = words.kpi("I1")
        subjects[language] = (
            f"[{words.counts[0].format(n=1)}] {words.subject_low.format(who=who, kpi=kpi, rate=rate, threshold='5 %')}"
        )
        # At 2.5 % of n: (0.05 - 0.025) * n / 0.95 dossiers more reach 5 %.
        need = -(-counts.denominator * 25 // 950)
        says[language] = (words.counted(counts), f"{words.whole(need)} {'more ' if language == 'en' else ''}{words.online['I1']}")
    return Expectation(f"{agency.code} is low", AGENCIES, subjects, says)


def ended(agency: Agency, counts: Ratio) -> Expectation:
    """The expected message to an agency's people that the alert ended, with the present rate."""
    subjects, says = {}, {}
    for language, words in LANGUAGES.items():
        said = words.subject_ended.format(who=_who(agency, language), kpi=words.kpi("I1"), rate=words.rate(counts))
        subjects[language] = f"[{words.counts[1].format(n=1)}] {said}"
        says[language] = (words.counted(counts),)
    return Expectation(f"{agency.code} has recovered", AGENCIES, subjects, says)


def to_operations(
    alert: str, summary: str, summary_en: str, *, firing: bool, says: Sequence[str] = (), number: int = 1
) -> Expectation:
    """The expected message to operations about a fault, with the address of its remedy, or about the end of the fault."""
    index = 0 if firing else 1
    subjects = {
        language: f"[{LANGUAGES[language].counts[index].format(n=number)}] {said}"
        for language, said in (("vi", summary), ("en", summary_en))
    }
    parts = {language: (*says, f"runbook.example.vn/{language}#{alert}") if firing and alert else says for language in subjects}
    return Expectation(alert if firing else f"end of {alert}", OPERATIONS, subjects, parts)


def wrong_messages(
    messages: Sequence[Received], expected: Sequence[Expectation], *, recovered_at: float, agencies_of_operations: bool = False
) -> tuple[str, ...]:
    """A line for each message that is missing, came too often, or should not have come.

    Args:
        messages: every message that was received.
        expected: the messages that should have been received.
        recovered_at: before this time no agency had recovered (seconds of a monotonic clock).
        agencies_of_operations: whether all messages to operations about agencies are among ``expected``; otherwise further ones
            are allowed, if they tell no end before ``recovered_at``.
    """
    wrong = [
        f"{wanted.what}: not received by {key} over {channel}"
        for wanted in expected
        for key, channel in sorted(wanted.missing(messages))
    ]
    seen: set[tuple[str, str, str]] = set()
    for message in messages:
        found = next((wanted.what for wanted in expected if wanted.is_met_by(message)), None)
        about_agencies = bool(_ABOUT_AGENCIES.search(message.subject))
        of_operations = message.to in _FOR_OPERATIONS and about_agencies and not agencies_of_operations
        place = (found or "", message.to, message.channel)
        if about_agencies and _ENDED.search(message.subject) and message.at < recovered_at:
            wrong.append(f"false all-clear to {message.to} over {message.channel}: {message.subject}")
        elif found is None and not of_operations:
            wrong.append(f"unexpected, to {message.to} over {message.channel}: {message.subject}")
        elif found is not None and place in seen:
            wrong.append(f"{found}: twice to {message.to} over {message.channel}")
        seen.add(place)
    return tuple(wrong)


def _who(agency: Agency, language: str) -> str:
    return f"{agency.name_en if language == 'en' else agency.name_vi} ({agency.code})"
