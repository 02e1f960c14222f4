"""A check says what a worker would make of a recording: rejections with their lines, distinct events, dossiers, findings."""

from __future__ import annotations

import bz2
import csv
import datetime as dt
import gzip
import io
import json
import lzma
import tempfile
import uuid
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.dossiers import MAX_EVENTS
from domain.errors import ConfigurationError, UnavailableError
from domain.events import DossierEvent, Reason
from domain.findings import MEANINGS, FindingKind, findings
from domain.periods import civil_day
from pipeline.decode.validator import EventValidator
from producers.portals.dossier_faults import PROFILES
from producers.portals.faults import FAULTS
from producers.portals.ledger import FINDINGS
from producers.portals.months import month_scenario
from producers.portals.simulate import ScenarioStream
from producers.portals.truth import Truth
from producers.replay.checking import check as check_module
from producers.replay.checking import dossier_rows, partitions
from producers.replay.checking.check import check
from producers.replay.checking.report import CheckReport
from producers.replay.sources.files import FileSource
from tests import cases
from tests.budget import examples
from tests.factories import LATEST, MORNING, a_message, an_event
from tests.property.test_dossiers import ALIKE, MESSAGES

REGISTRY = AgencyRegistry.packaged()


class Steps:
    """Keeps what it is told of the progress."""

    def __init__(self):
        self.stages = []

    def begin(self, stage, total):
        self.stages.append((stage, total, []))

    def update(self, done):
        self.stages[-1][2].append(done)


def checked(*names, latest=LATEST, progress=None):
    """The result for some files."""
    source = FileSource(tuple(map(str, names)))
    source.check()
    return check(source, registry=REGISTRY, latest=latest, progress=progress or Steps())


def written(path, lines):
    """A file of lines."""
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def by_the_rules(lines, *, latest=LATEST):
    """What the rules of the domain say of each dossier of some lines: kind -> {(dossier code, day, agency)}."""
    validator, dossiers = EventValidator(REGISTRY), {}
    for line in lines:
        event = validator.validate(line, latest=latest)
        if isinstance(event, DossierEvent):
            dossiers.setdefault(event.dossier_code, []).append(event)
    expected = {}
    for code, messages in dossiers.items():
        for finding in findings(messages, REGISTRY):
            event = finding.event
            place = (code, None, None) if event is None else (code, civil_day(event.occurred_at), event.agency)
            expected.setdefault(finding.kind, set()).add(place)
    distinct = {
        (event.agency, event.dossier_code, event.occurred_at, event.event_id, event.status)
        for messages in dossiers.values()
        for event in messages
    }
    return expected, len(distinct), len(dossiers)


def agree(result, lines, *, latest=LATEST):
    """A result has exactly the findings, dossiers and distinct events that the rules give; examples are among them."""
    expected, distinct, dossiers = by_the_rules(lines, latest=latest)
    assert {kind: found.dossiers for kind, found in result.found.items()} == {kind: len(of) for kind, of in expected.items()}
    assert (result.distinct, result.dossiers) == (distinct, dossiers)
    for kind, found in result.found.items():
        assert len(found.examples) == min(len(expected[kind]), dossier_rows.EXAMPLES)
        for example in found.examples:
            assert example[2:] in expected[kind] or (example.dossier_code, None, None) in expected[kind]


@pytest.mark.parametrize("name", sorted(path.name for path in cases.FOLDER.glob("*.ndjson.gz")))
def test_the_case_files_are_judged_by_the_rules(name):
    """Each recorded feed has no rejection, and the events, dossiers and findings that the rules of the domain give."""
    lines = cases.lines(name)
    result = checked(cases.FOLDER / name)
    assert (result.messages, result.rejections, result.error) == (len(lines), 0, None)
    assert result.repeats == len(lines) - result.distinct
    agree(result, lines)


def test_the_findings_of_the_nasty_dossiers():
    """The feed with one dossier a trap has these findings; an example names the line of the message that shows it."""
    name = "25_nasty_dossiers.ndjson.gz"
    result = checked(cases.FOLDER / name)
    assert {str(kind): found.dossiers for kind, found in result.found.items()} == {
        "settled_twice": 2,
        "settled_by_return": 1,
        "returned_after_refusal": 1,
        "resubmitted": 2,
        "reopened": 1,
        "first_seen_late": 2,
        "settled_before_submitted": 1,
        "several_channels": 1,
        "several_units": 1,
        "other_unit_than_code": 1,
    }
    lines = cases.lines(name)
    for found in result.found.values():
        for example in found.examples:
            shown = json.loads(lines[example.number - 1])
            assert shown["dossier_code"] == example.dossier_code
            assert civil_day(dt.datetime.fromisoformat(shown["occurred_at"])) == example.day
            assert result.place_of(example).endswith(f"{name}, line {example.number}")


def test_what_portals_send_is_judged_as_their_ledger_says(tmp_path):
    """Of a realistic month with every fault, shuffled, every total and finding is that of the ledger of the portals."""
    scenario = month_scenario("feb-2025", settled=1_500, seed=3)
    stream = ScenarioStream(scenario, seed=3, shares=PROFILES["realistic"], shuffled=True)
    lines = [message.value for message in stream]
    truth = Truth.of(stream, seed=3)
    result = checked(written(tmp_path / "feb.ndjson", lines))
    assert (result.messages, result.rejections, result.dossiers) == (truth.messages, 0, truth.dossiers)
    assert result.distinct == truth.events
    assert result.repeats == truth.messages - truth.events
    totals = truth.totals()
    assert {str(kind): found.dossiers for kind, found in result.found.items()} == {
        name: totals[name] for name in FINDINGS if totals[name]
    }


def test_rejections_are_counted_by_reason_with_their_lines(tmp_path):
    """Each malformed message of a bad file is rejected for its reason, at its line; the first ones are examples."""
    expected, lines = {}, []
    for fault in FAULTS:
        value = fault.corrupt(json.loads(a_message()))
        if value is None or b"\n" in value or not value.strip():
            continue  # a file has no such message
        lines += [a_message(), b"", value]
        expected.setdefault(fault.reason, []).append(len(lines))
    lines[0] = b"\xef\xbb\xbf" + lines[0]  # a mark at the start of a file is not a part of its first message
    result = checked(written(tmp_path / "bad.ndjson", lines), latest=LATEST)
    # A byte order mark before any line is taken off by the reader.
    expected[Reason.NOT_JSON] = [line for line in expected[Reason.NOT_JSON] if not lines[line - 1].startswith(b"\xef\xbb\xbf")]
    assert {reason: found.messages for reason, found in result.rejected.items()} == {
        reason: len(numbers) for reason, numbers in expected.items()
    }
    for reason, numbers in expected.items():
        assert [example.number for example in result.rejected[reason].examples] == numbers[: check_module.EXAMPLES]
    assert result.rejections + result.accepted == result.messages
    assert all(example.detail for found in result.rejected.values() for example in found.examples)


def recorded(path, form):
    """The same three messages in some form: two valid ones, and one with a wrong status."""
    rows = [
        json.loads(a_message(an_event(event_id=uuid.UUID(int=number), dossier_code=f"H17-240102-000{number}")))
        for number in (1, 2, 3)
    ]
    rows[1]["status"] = 11
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif form == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        packed = {
            "gz": gzip.compress,
            "xz": lzma.compress,
            "bz2": bz2.compress,
            "zst": lambda data: pa.compress(data, "zstd").to_pybytes(),
        }
        path.write_bytes(packed.get(form, bytes)(text))
    return path


@pytest.mark.parametrize(
    ("form", "place"),
    [*((form, "line 2") for form in ("ndjson", "gz", "xz", "bz2", "zst")), ("csv", "line 3"), ("parquet", "row 2")],
)
def test_every_format_is_judged_alike(tmp_path, monkeypatch, form, place):
    """Lines, packed lines, CSV and Parquet have the same verdicts; a place is that in the file, progress is in its bytes."""
    monkeypatch.setattr(check_module, "_MESSAGES_AT_ONCE", 1)
    path, steps = recorded(tmp_path / f"events.{form}", form), Steps()
    result = checked(path, progress=steps)
    assert (result.messages, result.accepted, result.dossiers) == (3, 2, 2)
    (example,) = result.rejected[Reason.UNKNOWN_STATUS].examples
    assert result.place_of(example).endswith(f"events.{form}, {place}")
    assert "11" in example.detail
    (entry,) = CheckReport(result).as_dict()["rejections"][0]["examples"]
    unit, number = place.split()
    assert entry == {"file": str(path), unit: int(number), "detail": example.detail}
    (_, size, read), _ = steps.stages
    assert size == path.stat().st_size
    assert len(read) == 3
    assert read == sorted(read)
    assert 0 < read[0] <= read[-1] <= size


def test_several_files_are_one_recording(tmp_path):
    """An event in two files is a repeat, a dossier may lie in both, and an example names its file."""
    first, second = an_event(status=1), an_event(status=4)
    second = replace(second, dossier_code=first.dossier_code, occurred_at=MORNING + dt.timedelta(hours=1))
    third = replace(second, event_id=uuid.uuid4(), status=1, channel=1, occurred_at=MORNING + dt.timedelta(hours=2))
    one = written(tmp_path / "one.ndjson", [a_message(first), a_message(second)])
    two = written(tmp_path / "two.ndjson", [a_message(second), b"nothing", a_message(third)])
    result = checked(one, two)
    assert (result.messages, result.accepted, result.distinct, result.dossiers) == (5, 4, 3, 1)
    ((example,), place) = result.found[FindingKind.SEVERAL_CHANNELS].examples, f"{two}, line 3"
    assert result.place_of(example) == place
    assert result.place_of(result.rejected[Reason.NOT_JSON].examples[0]) == f"{two}, line 2"


ID = "0190163d-8694-8f6a-a123-abcdefabcdef"


def test_one_id_in_two_spellings_is_one_id(tmp_path):
    """An event whose id comes in capitals the second time is a repeat."""
    lines = [a_message(event_id=spelling, dossier_code="H17-240102-0001") for spelling in (ID, ID.upper())]
    assert lines[0] != lines[1]
    result = checked(written(tmp_path / "e.ndjson", lines))
    assert (result.accepted, result.distinct) == (2, 1)


DAY_CODES = st.sampled_from([f"H62-240102-{number:04d}" for number in range(1, 5)])
RECORDINGS = st.lists(
    st.tuples(st.one_of(MESSAGES, ALIKE), DAY_CODES, st.sampled_from(["H62", "H44", "H29"])), min_size=1, max_size=40
)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDINGS, st.sampled_from([1, 3, 1_000]), st.integers(1, 7))
def test_any_recording_is_judged_by_the_rules(tmp_path, monkeypatch, sent, rows, at_once):
    """Wild dossiers, however few rows fit into memory or are decoded at once, have the findings that the rules give."""
    lines = [a_message(event, dossier_code=code, agency_code=agency) for event, code, agency in sent]
    with monkeypatch.context() as patch:
        patch.setattr(dossier_rows, "MAX_ROWS", rows)
        patch.setattr(check_module, "_MESSAGES_AT_ONCE", at_once)
        result = checked(written(tmp_path / "wild.ndjson", lines))
    assert result.accepted == len(lines)
    agree(result, lines)


def test_dossiers_of_one_shape_are_judged_once(tmp_path, monkeypatch):
    """Where ids and times are distinct, one dossier of a shape is judged; a repeated id or an equal time is judged by itself."""

    def course(number, *, same_id=False, same_time=False):
        events = [
            an_event(
                dossier_code=f"H17-240102-{number:04d}",
                status=status,
                occurred_at=MORNING + dt.timedelta(minutes=number, hours=0 if same_time else hour),
            )
            for hour, status in enumerate((1, 9, 9))
        ]
        if same_id:
            events[2] = replace(events[2], event_id=events[1].event_id)
        return events

    judged = []
    monkeypatch.setattr(
        dossier_rows, "findings", lambda events, registry: judged.append(events[0].dossier_code) or findings(events, registry)
    )
    events = [event for number in range(1, 41) for event in course(number)]
    events += course(41, same_id=True) + course(42, same_time=True)
    result = checked(written(tmp_path / "e.ndjson", [a_message(event) for event in events]))
    assert sorted(judged)[-2:] == ["H17-240102-0041", "H17-240102-0042"]
    # Every partition may find the shape new only once, and the partitions share what they know.
    assert len(judged) == 3
    assert result.found[FindingKind.SETTLED_TWICE].dossiers == 41
    assert result.found[FindingKind.CORRECTED_TIME].dossiers == 1


def test_a_code_for_everything_is_too_many_events(tmp_path, monkeypatch):
    """A code with more distinct events than a dossier may have is one finding, however little fits into memory."""
    monkeypatch.setattr(dossier_rows, "MAX_ROWS", 900)
    monkeypatch.setattr(check_module, "_MESSAGES_AT_ONCE", 700)
    events = [
        an_event(dossier_code="H17-240102-0001", status=number % 10 + 1, occurred_at=MORNING + dt.timedelta(seconds=number))
        for number in range(MAX_EVENTS + 1)
    ]
    lines = [a_message(event) for event in events] + [a_message(event) for event in events[:500]]
    result = checked(written(tmp_path / "e.ndjson", [*lines, a_message()]))
    assert (result.distinct, result.repeats, result.dossiers) == (MAX_EVENTS + 2, 500, 2)
    assert {kind: found.dossiers for kind, found in result.found.items()} == {
        FindingKind.TOO_MANY_EVENTS: 1,
        **dict.fromkeys((FindingKind.FIRST_SEEN_LATE,), 1),
    }
    (example,) = result.found[FindingKind.TOO_MANY_EVENTS].examples
    assert (example.dossier_code, example.day) == ("H17-240102-0001", None)


def test_a_dossier_that_does_not_fit_into_memory_is_judged_whole(tmp_path, monkeypatch):
    """Of its messages with one id and status, the one that counts and a corrected time are known to the end."""
    monkeypatch.setattr(dossier_rows, "MAX_ROWS", 10)
    monkeypatch.setattr(check_module, "_MESSAGES_AT_ONCE", 7)
    first = an_event(dossier_code="H17-240102-0001", status=1)
    settled = replace(an_event(dossier_code="H17-240102-0001"), occurred_at=MORNING + dt.timedelta(hours=1))
    again = replace(settled, event_id=uuid.uuid4(), occurred_at=MORNING + dt.timedelta(hours=3))
    corrected = replace(settled, occurred_at=MORNING + dt.timedelta(hours=2))
    lines = [a_message(event) for event in (first, corrected, settled, *[corrected] * 30, again, *[first] * 30)]
    result = checked(written(tmp_path / "e.ndjson", lines))
    agree(result, lines)
    assert (result.distinct, result.dossiers) == (4, 1)
    (example,) = result.found[FindingKind.CORRECTED_TIME].examples
    assert example.number == 2
    (example,) = result.found[FindingKind.SETTLED_TWICE].examples
    assert example.number == 34


def test_memory_and_open_files_do_not_grow_with_the_recording(tmp_path, monkeypatch):
    """Of a big recording at most ``MAX_ROWS`` rows are judged at once and ``FAN_OUT`` files written at once, with one result."""
    scenario = month_scenario("feb-2025", settled=900, seed=5)
    stream = ScenarioStream(scenario, seed=5, shares=PROFILES["realistic"], shuffled=True)
    lines = [message.value for message in stream]
    heavy = [
        a_message(an_event(dossier_code="H17-240102-0001", status=1, occurred_at=MORNING + dt.timedelta(seconds=number % 700)))
        for number in range(3_000)
    ]
    path = written(tmp_path / "big.ndjson", lines + heavy)
    expected = checked(path)

    open_now, most_open, tables, open_file = set(), [0], [], pa.OSFile

    class Counted:
        """A file of Arrow that is counted while it is open."""

        def __init__(self, *arguments):
            self.file = open_file(*arguments)

        def __enter__(self):
            open_now.add(self)
            most_open[0] = max(most_open[0], len(open_now))
            return self.file.__enter__()

        def __exit__(self, *error):
            open_now.discard(self)
            return self.file.__exit__(*error)

    judge_table = dossier_rows.DossierJudge._judge_table
    monkeypatch.setattr(dossier_rows, "MAX_ROWS", 500)
    monkeypatch.setattr(check_module, "_MESSAGES_AT_ONCE", 2_000)
    monkeypatch.setattr(partitions.pa, "OSFile", Counted)
    monkeypatch.setattr(
        dossier_rows.DossierJudge,
        "_judge_table",
        lambda self, table: tables.append(table.num_rows) or judge_table(self, table),
    )
    steps = Steps()
    found = checked(path, progress=steps)
    assert CheckReport(found).as_dict() == CheckReport(expected).as_dict()
    assert found.messages == len(lines) + len(heavy) > 10 * 500
    assert max(tables) <= 500
    assert most_open[0] <= partitions.FAN_OUT + 1
    assert open_now == set()
    (messages, size, read), (dossiers, rows, judged) = steps.stages
    assert (messages, size, dossiers, rows) == ("messages", path.stat().st_size, "dossiers", found.accepted)
    assert read == sorted(read)
    assert 0 < read[-1] <= size
    assert judged == sorted(judged)
    assert judged[-1] == found.accepted


def test_temporary_files_are_removed(tmp_path, monkeypatch):
    """Nothing is left in the folder for temporary files, also when the check is interrupted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path = written(tmp_path / "e.ndjson", [a_message() for _ in range(50)])
    checked(path)
    assert list((tmp_path / "scratch").iterdir()) == []

    class Interrupted(Steps):
        def begin(self, stage, total):
            super().begin(stage, total)
            if stage == "dossiers":
                assert list((tmp_path / "scratch").iterdir()) != []
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked(path, progress=Interrupted())
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_place_for_temporary_files_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    """The error of a full disk or a wrong TMPDIR is one sentence with a remedy."""
    path = written(tmp_path / "e.ndjson", [a_message()])
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    with pytest.raises(UnavailableError, match="temporary files") as caught:
        checked(path)
    assert "TMPDIR" in caught.value.remedy

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(partitions.pa, "OSFile", lambda *_: open_full())
    with pytest.raises(UnavailableError, match="No space left"):
        checked(path)


def open_full():
    """A file on a full disk."""
    return pa.PythonFile(FullDisk(), "w")


class FullDisk(io.RawIOBase):
    """Takes no byte."""

    def writable(self):
        return True

    def write(self, _data):
        raise OSError(28, "No space left on device")


def test_an_error_of_the_file_ends_the_reading_and_the_rest_is_judged(tmp_path):
    """Of a file that is cut off, the messages before that are judged, and the result says that it is not complete."""
    lines = [a_message(event_id=str(uuid.uuid4())) for _ in range(5_000)]
    whole = gzip.compress(b"\n".join(lines) + b"\n")
    path = tmp_path / "cut.ndjson.gz"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    result = checked(path)
    assert isinstance(result.error, ConfigurationError)
    assert "cut off" in result.error.problem
    assert result.messages == result.accepted == result.dossiers
    assert 0 < result.messages < 5_000
    report = CheckReport(result).as_dict()
    assert report["complete"] is False
    assert "cut off" in report["problem"]


def test_an_empty_recording_has_nothing(tmp_path):
    """A file without messages has no rejection, no dossier and no finding."""
    result = checked(written(tmp_path / "e.ndjson", [b""]))
    assert (result.messages, result.rejections, result.dossiers, result.distinct, result.found) == (0, 0, 0, 0, {})


def test_a_report_says_for_people_what_it_says_for_programs(tmp_path):
    """Every number, reason, kind, place and dossier code of the JSON report stands in the text."""
    event = an_event(status=4)
    lines = [b"nothing", a_message(event), a_message(event), a_message(status=12)]
    report = CheckReport(checked(written(tmp_path / "e.ndjson", lines)))
    found, text = report.as_dict(), report.text()
    assert {name: found[name] for name in ("messages", "rejected", "accepted", "distinct", "repeats", "dossiers")} == {
        "messages": 4,
        "rejected": 2,
        "accepted": 2,
        "distinct": 1,
        "repeats": 1,
        "dossiers": 1,
    }
    assert [entry["reason"] for entry in found["rejections"]] == ["not_json", "unknown_status"]
    assert [entry["kind"] for entry in found["findings"]] == ["first_seen_late"]
    for entry in found["rejections"]:
        assert entry["reason"] in text
        assert all(f"{example['file']}, line {example['line']}: {example['detail']}" in text for example in entry["examples"])
    assert MEANINGS[FindingKind.FIRST_SEEN_LATE] in text
    for entry in found["findings"]:
        assert all(f"line {example['line']}" in text and example["dossier_code"] in text for example in entry["examples"])
    assert "Nothing was sent" in text
