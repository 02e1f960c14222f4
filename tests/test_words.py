"""Words and names that must not come back: private vocabulary, archaic words and phrases translated word by word.

The glossary has one word for each thing; this is the list of those that it replaced.
"""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: May name what was replaced.
EXEMPT = {"CHANGELOG.md", "tests/test_words.py"}
#: Applied migrations are never edited.
MIGRATIONS = "sinks/clickhouse/migrations/"
#: Words of the prose, in any form.
WORDS = ("anew", "whoever", "in vain", "mend", "mended", "mends", "mending", "set aside", "left the log unread")
#: Phrases that were translated word by word -> what is used instead.
PHRASES = {
    r"(?<![Tt]here )(?<!that )\b(?:is|are|was|were) no (?!longer\b|more\b|data\b|other\b)\w": "is not a",
    r"\b[Ll]eave(?:s|d)? (?:it|them|this|these|one of them|--[a-z-]+) out\b|\bleft out\b": "omit",
    r"\b(?:stop|end)(?:s|ped|ed)?(?: \w+)? in order\b(?! to)|\bis in order\b|\borderly\b": "cleanly",
    r"\bmessages?(?: in a row| of \w+)? (?:is|are|was|were) refused\b|\brefused messages?\b": "rejected",
    r"\b(?:server|broker|topic) rejects\b": "refuses; a message is rejected",
}
#: Names of classes, functions and constants -> what is used instead.
NAMES = {
    "Stretch": "OffsetRange",
    "Room": "MemoryBudget",
    "Touch": "DirtyHour",
    "touched_hours": "dirty_hours",
    "Stillness": "StallDetector",
    "Signs": "ConsumerVitals",
    "Patience": "StorageRetry",
    "Standing": "TallyTotals",
    "Judge": "EventValidator",
    "Refusal": "Rejection",
    "Layouts": "MessageTemplates",
    "LetterFilter": "DeadLetterFilter",
    "LetterEntry": "DeadLetterEntry",
    "DeadLetterDesk": "DeadLetterService",
    "AuditDesk": "AuditService",
    "AuditBook": "DriftTracker",
    "EventSight": "EventRef",
    "WholeAnswers": "StrictPoolManager",
    "forget_replaced": "purge_superseded",
    "_patiently": "_retrying",
    "away_since": "unavailable_since",
    "deaf": "signals_deferred",
    "Told": "ProgressReport",
    "knee": "max_sustainable_rate",
    "aim_by": "set_target",
    "tidy": "compact",
    "within_limit": "start_deadline",
    "_telling": "_root_cause",
    "_speaks_otherwise": "_protocol_mismatch",
    "_was_ended": "_disconnected_in_handshake",
    "_Told": "_WrongValue",
    "Outcome": "FaultResult, SendReport",
    "most_waiting": "max_waiting",
    "Unread": "RecordUnread",
}


def _files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    kept = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".sql", ".tmpl", ""}
    return [
        name
        for name in listed
        if name not in EXEMPT
        and Path(name).suffix in kept
        and not name.startswith((MIGRATIONS, "tests/data/"))
        and (ROOT / name).is_file()
    ]


TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in _files()}


def _found(pattern: re.Pattern[str], *, suffixes: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in TEXTS.items()
        if not suffixes or name.endswith(suffixes)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_does_not_come_back(word):
    """Texts for people, comments and names of tests do not use it."""
    assert _found(re.compile(rf"(?<![a-z]){word}(?![a-z])", re.IGNORECASE)) == []


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_does_not_come_back(phrase):
    """Texts for people and comments do not use it."""
    assert _found(re.compile(phrase)) == [], PHRASES[phrase]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_does_not_come_back(name):
    """Code does not use it as a name; the glossary's word is used instead."""
    assert _found(re.compile(rf"(?<![\w.]){name}(?=[\[(.:,)]|$)|\.{name}\b"), suffixes=(".py",)) == [], NAMES[name]


def test_bounds_are_called_minimum_and_maximum():
    """No parameter, variable or attribute has the name ``most`` or ``least``."""
    used = [
        f"{name}:{node.lineno}"
        for name, text in TEXTS.items()
        if name.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if {getattr(node, "arg" if isinstance(node, ast.arg) else "attr" if isinstance(node, ast.Attribute) else "id", "")}
        & {"most", "least", "_most", "_least"}
    ]
    assert used == []
