"""Reads the recipients file and checks it against the registry. An error names file, line and remedy."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from dashboards.notify.recipients import ALL, BLOCKS, Recipient, Recipients
from dashboards.notify.yaml_lines import Document, Place, read_yaml
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from pipeline.bounded_files import bounded_content

#: The example that `portalpulse alerts example` prints.
EXAMPLE: Final = Path(__file__).parent / "recipients.example.yaml"
#: Ids become names of receivers and parts of addresses.
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_REMEDY: Final = "`portalpulse alerts example` prints a file with every field."


@dataclass(frozen=True, slots=True)
class Directory:
    """Checked recipients with the agencies of each.

    Attributes:
        recipients: the file's content.
        folder: where the file is; names of files in it are relative to this folder.
        agencies: for every agency of the registry in force the ids of its recipients, in the order of the file.
    """

    recipients: Recipients
    folder: Path
    agencies: Mapping[str, tuple[str, ...]]

    @property
    def default(self) -> tuple[str, ...]:
        """The ids of the recipients who are told about an agency without recipients, or one that the registry does not know."""
        return self.recipients.default or self.recipients.operations

    def person(self, key: str) -> Recipient:
        """The recipient with the id ``key``.

        Raises:
            ConfigurationError: there is no such recipient.
        """
        found = self.recipients.recipients.get(key)
        if found is None:
            known = ", ".join(self.recipients.recipients)
            raise ConfigurationError(f"There is no recipient {key[:40]!r}.", remedy=f"The file has {known}.")
        return found


def read_recipients(path: Path, registry: AgencyRegistry, *, day: dt.date) -> Directory:
    """Read a recipients file; ``day``: the civil day on which its agencies must be in force.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong; the error names the line and the remedy.
    """
    try:
        text = bounded_content(path).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
        raise ConfigurationError(f"The recipients file {path} cannot be read: {reason}.", remedy=_REMEDY) from error
    return parse_recipients(text, registry, day=day, name=str(path), folder=path.absolute().parent)


def parse_recipients(text: str, registry: AgencyRegistry, *, day: dt.date, name: str, folder: Path) -> Directory:
    """Read the text of a recipients file, as ``read_recipients`` does.

    Raises:
        ConfigurationError: something in the text is wrong; the error names the line and the remedy.
    """
    document = read_yaml(text, name=name)
    try:
        recipients = Recipients.model_validate(document.content)
    except ValidationError as error:
        place, sentence = _explained(error.errors(include_url=False)[0])
        raise _fault(name, document, place, sentence) from None
    for place, sentence in _contradictions(recipients):
        raise _fault(name, document, place, sentence)
    codes = {agency.code: agency.block for agency in registry.in_force(day)}
    for key, person in recipients.recipients.items():
        for number, word in enumerate(person.agencies):
            if word not in codes and word != ALL and word not in BLOCKS:
                place = ("recipients", key, "agencies", number)
                raise _fault(name, document, place, _unknown_agency(word, registry, day))
    return Directory(recipients, folder, {code: _recipients_of(code, block, recipients) for code, block in codes.items()})


def _recipients_of(code: str, block: str, recipients: Recipients) -> tuple[str, ...]:
    wanted = {code, ALL, *(word for word, name in BLOCKS.items() if name == block)}
    return tuple(key for key, person in recipients.recipients.items() if wanted & set(person.agencies))


def _unknown_agency(word: str, registry: AgencyRegistry, day: dt.date) -> str:
    successor = registry.responsible(word, day)
    if successor is not None:
        return f"agency {word} was merged into {successor.code}; write {successor.code}"
    return f"there is no agency {word[:20]!r} now; write codes such as H17, or all, ministries or provinces"


def _contradictions(recipients: Recipients) -> Iterator[tuple[Place, str]]:
    """Errors that only several fields together show: (place, sentence)."""
    known = recipients.recipients
    for key, person in known.items():
        if not _ID.fullmatch(key):
            yield ("recipients", key), f"{key[:40]!r} is not an id; use small letters of ASCII, digits and hyphens"
        if person.channels.mail and recipients.mail is None:
            yield ("recipients", key, "channels", "mail"), "mail needs the section 'mail' with server and sender"
        if person.channels.telegram and recipients.telegram is None:
            yield ("recipients", key, "channels", "telegram"), "telegram needs the section 'telegram', which may be {}"
        if person.escalation is not None and person.escalation.to not in known:
            yield ("recipients", key, "escalation", "to"), _no_recipient(person.escalation.to, known)
        if person.escalation is not None and person.escalation.to == key:
            yield ("recipients", key, "escalation", "to"), "a person cannot be the own superior; name another recipient"
    for section in ("operations", "default"):
        for number, key in enumerate(getattr(recipients, section)):
            if key not in known:
                yield (section, number), _no_recipient(key, known)


def _no_recipient(key: str, known: Mapping[str, Any]) -> str:
    return f"there is no recipient {key[:40]!r}; the file has {', '.join(known)}"


def _explained(error: Mapping[str, Any]) -> tuple[Sequence[str | int], str]:
    """Place and sentence of one error of pydantic. Values that may be secrets are not repeated."""
    place, kind = [part for part in error["loc"] if part != "[key]"], error["type"]
    field = next((str(part) for part in reversed(place) if isinstance(part, str)), "the file")
    example = _REMEDY.removesuffix(".")
    if kind == "missing":
        return place[:-1], f"the field {field!r} is missing; add it"
    sentences = {
        "extra_forbidden": f"{field!r} is not a field of this section; {example}",
        "value_error": f"{field}: {error['msg'].removeprefix('Value error, ')}",
        "literal_error": f"{field} must be {str(error.get('ctx', {}).get('expected', '')).replace(chr(39), '')}",
        "too_short": f"{field} must not be empty; {example}",
        "string_too_short": f"{field} must not be empty; {example}",
    }
    if kind.startswith("date"):
        return place, f"{field}: a day is written 2027-02-05"
    return place, sentences.get(kind, f"{field} has the wrong form; {example}")


def _fault(name: str, document: Document, place: Sequence[str | int], sentence: str) -> ConfigurationError:
    problem, _, remedy = sentence.partition("; ")
    text = f"{name}, line {document.line_of(place)}: {problem}."
    return ConfigurationError(text, remedy=f"{remedy[:1].upper()}{remedy[1:]}." if remedy else "")
