"""Files that are damaged anywhere: each reader of a file that people name or keep refuses it in one sentence."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import random
from pathlib import Path

import openpyxl
import pytest

from dashboards.notify.memory import Memory
from dashboards.notify.recipients_file import EXAMPLE, read_recipients
from domain.errors import PortalPulseError
from domain.registry_file import read_rows
from domain.working_days_file import read_working_days
from pipeline.addresses import read_addresses
from pipeline.catalogue.files import read_catalogue
from producers.portals.truth import Truth
from producers.sending import batch_file
from producers.sending.checkpoint import read_state
from tests.budget import examples

ROOT = Path(__file__).parents[2]
#: Mutations of each file, and what is put into it.
MUTATIONS = examples(150)
PIECES = [
    *(b"\0", b"\xff", b"\xe6", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b",", b";", b"{", b"[", b"]", b":", b"NaN", b"1e999"),
    *(b"-1", b"null", b"99999999999999999999", b"\\u0000", b"\\ud800", b"&a", b"*a", b"---", b"? ", b"=1+1"),
    *(b"\xe2\x80\xa8", b"\xc2\x85", b"\x1b[2J", b"2024-02-30", b"0000-00-00", b"9999-12-31", b"H17", b"x" * 70_000, b"- " * 50),
]  # fmt: skip
CATALOGUE = b"agency_code,procedure_code,name,service_level,valid_from\nH17,1.000001,a,mot_phan,2024-01-01\n"
STATE = {"plan": "a | b", "position": 5, "ranges": {"0": [0, 5], "1": [3, 9]}, "contents": [[5, "ab"]], "topic_id": "x"}
ADDRESSES = dict.fromkeys(("kafka", "http", "prometheus", "alertmanager"), "http://127.0.0.1:2")
TRUTH = b'{"schema":1,"source":"s","seed":1,"days":[{"unit":"H17","day":"2025-02-01"}]}'


def a_workbook():
    """A small catalogue as a workbook."""
    book = openpyxl.Workbook()
    for row in (
        ["agency_code", "procedure_code", "service_level", "valid_from"],
        ["H17", "1.000001", "mot_phan", dt.date(2024, 1, 1)],
    ):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


#: A right file of each kind, and its reader, which takes the path and the registry.
FILES = {
    "registry": ((ROOT / "domain/data/agencies.csv").read_bytes, lambda path, _: read_rows(path.read_bytes(), name="f")),
    "working days": (lambda: b"day,kind\n2026-01-10,working\n", lambda path, _: read_working_days(path.read_bytes(), name="f")),
    "recipients": (EXAMPLE.read_bytes, lambda path, registry: read_recipients(path, registry, day=dt.date(2026, 1, 1))),
    "catalogue": (lambda: CATALOGUE, read_catalogue),
    "packed catalogue": (lambda: gzip.compress(CATALOGUE), read_catalogue),
    "workbook": (a_workbook, read_catalogue),
    "state": (lambda: json.dumps(STATE).encode(), lambda path, _: read_state(path)),
    "addresses": (lambda: json.dumps(ADDRESSES).encode(), lambda path, _: read_addresses(path.parent)),
    "memory": (lambda: b'{"held":{"a/mail":[]},"open":{"a/mail":[]}}', lambda path, _: Memory(path)),
    "truth": (lambda: TRUTH, lambda path, _: Truth.read(path)),
    "batches": (
        lambda: batch_file._header(batch_file.Contents("f 1 2", 4, 3, 3)) + b"\0" * 60,
        lambda path, _: (batch_file.read_contents(path), list(batch_file.read(path))),
    ),
}  # fmt: skip


def damaged(content, chance):
    """A content with one to six faults."""
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        kind, at = chance.randrange(5), chance.randrange(len(content) + 1)
        if kind == 0:
            content = content[:at] + chance.choice(PIECES) + content[at:]
        elif kind == 1:
            content = content[:at] + content[at + chance.choice((1, 2, 10, 100)) :]
        elif kind == 2:
            content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        elif kind == 3:
            content = content[:at]
        else:
            content = content[:at] + content[max(0, at - chance.randrange(60)) :]
    return content


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_damaged_anywhere_is_refused_or_read(tmp_path, registry, kind):
    """No damage leads to another error than one sentence of portalpulse: none of a parser, of a library or of the text."""
    make, read = FILES[kind]
    several_lines = 0
    right, path, chance = make(), tmp_path / "addresses.json", random.Random(kind)
    for _ in range(MUTATIONS):
        path.write_bytes(damaged(right, chance))
        try:
            read(path, registry)
        except PortalPulseError as error:
            several_lines += "\n" in str(error)
    assert not several_lines
