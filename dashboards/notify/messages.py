"""Writes the forms of a message: subject, plain text and HTML of a mail, and the short HTML of Telegram."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2

from dashboards.notify.content import Content, Entry
from dashboards.notify.words import Words

_TEMPLATES: Final = Path(__file__).parent / "templates"
_COLOURS: Final = {"critical": "#b71c1c", "warning": "#b26a00", "info": "#1565c0", "none": "#616161"}
#: Telegram takes 4,096 characters; the rest is counted.
TELEGRAM_LENGTH: Final = 4_096
_RESERVED: Final = 60
_SUBJECT_LENGTH: Final = 200
#: A mail with more entries is cut, too.
_MAX_ENTRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Message:
    """One message in every form."""

    subject: str
    text: str
    html: str
    telegram: str


def message_of(content: Content, words: Words) -> Message:
    """Write ``content`` in every form."""
    sections = (
        (words.headings[0], content.firing[:_MAX_ENTRIES]),
        (words.headings[1], content.ended[:_MAX_ENTRIES]),
    )
    brief = not any(entry.lines for _, entries in sections for entry in entries) and sum(len(part) for _, part in sections) > 1
    values = {"content": content, "sections": sections, "brief": brief, "language": words.language, "colours": _COLOURS}
    return Message(
        subject=" ".join(content.subject.split())[:_SUBJECT_LENGTH],
        text=_environment(escaped=False).get_template("text.tmpl").render(values),
        html=_environment(escaped=True).get_template("html.tmpl").render(values),
        telegram=_telegram(content, words, brief=brief),
    )


def _environment(*, escaped: bool) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=escaped,  # noqa: S701 - plain text is not escaped
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _telegram(content: Content, words: Words, *, brief: bool) -> str:
    """As many whole entries as fit into a Telegram message, then the number of further ones."""
    parts = [f"<b>{html.escape(content.subject, quote=False)}</b>"]
    parts += [html.escape(note, quote=False) for note in content.notes]
    length = sum(len(part) + 2 for part in parts)
    entries = [*content.firing, *content.ended]
    heading = None
    for number, entry in enumerate(entries):
        same_heading = brief and heading == entry.firing
        heading = entry.firing
        text = _telegram_entry(entry, words, headed=not same_heading)
        if length + len(text) + 2 > TELEGRAM_LENGTH - _RESERVED:
            parts.append(words.more.format(n=words.whole(len(entries) - number)))
            break
        if same_heading:
            parts[-1] += f"\n{text}"
        else:
            parts.append(text)
        length += len(text) + 2
    return "\n\n".join(parts)


def _telegram_entry(entry: Entry, words: Words, *, headed: bool) -> str:
    heading = f"<b>{words.headings[0 if entry.firing else 1]}</b> " if headed else ""
    lines = [f"{heading}{html.escape(entry.title, quote=False)}"]
    lines += [html.escape(line, quote=False) for line in entry.lines]
    lines += [f'<a href="{html.escape(address)}">{html.escape(label, quote=False)}</a>' for label, address in entry.links]
    return "\n".join(lines)
