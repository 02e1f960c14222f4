"""Words and names that must not come back: private vocabulary, archaic words and phrases translated word by word.

The glossary has one word for each thing; this is the list of those that it replaced.
"""

from __future__ import annotations

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
WORDS = ("anew", "whoever", "in vain", "mend", "mended", "mends", "mending")
#: Names of classes, functions and constants -> what is used instead.
NAMES = {
    "Stretch": "OffsetRange",
    "Room": "MemoryBudget",
    "Touch": "DirtyHour",
    "touched_hours": "dirty_hours",
    "Ledger": "DirtyBuckets",
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
    """Texts for people and comments do not use it."""
    assert _found(re.compile(rf"\b{word}\b", re.IGNORECASE)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_does_not_come_back(name):
    """Code does not use it as a name; the glossary's word is used instead."""
    assert _found(re.compile(rf"(?<![\w.]){name}(?=[\[(.:,)]|$)|\.{name}\b"), suffixes=(".py",)) == [], NAMES[name]
