"""The judge of a rehearsal: what is missing, said twice, false or unasked; its tempo, its table and its status."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dashboards.alertmanager.timing import AlertTiming
from dashboards.rules.timing import RuleTiming
from deploy.native.rehearsal import run
from deploy.native.rehearsal.expected import ended, low, to_operations, wrong_messages
from deploy.native.rehearsal.people import READERS, places
from deploy.native.rehearsal.play import FaultResult
from deploy.native.rehearsal.sinks import Received
from deploy.native.rehearsal.tempo import Tempo
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.indicators import Ratio
from pipeline.cli.main import create_cli

HANOI = next(agency for agency in AgencyRegistry.packaged().in_force(dt.date(2026, 1, 1)) if agency.code == "H17")
LOW, BACK = low(HANOI, Ratio(1, 40)), ended(HANOI, Ratio(6, 45))
FAULT = to_operations("ExporterDown", "Không trả lời", "It does not answer", firing=True)
LANGUAGE = {reader.key: reader.language for reader in READERS}


def received(wanted, *, at=1.0):
    """What everybody gets who should have ``wanted``."""
    return [
        Received(key, channel, wanted.subjects[LANGUAGE[key]], " ".join(wanted.says.get(LANGUAGE[key], ())), at)
        for key, channel in sorted(places(wanted.readers))
    ]


def test_everything_once_is_right():
    """Six messages of each kind, and nothing else, are right; operations may hear of agencies, too."""
    right = [*received(LOW), *received(FAULT), *received(BACK, at=9)]
    assert len(right) == 18
    assert wrong_messages(right, [LOW, FAULT, BACK], recovered_at=5) == ()
    also = replace(right[0], to="truc", channel="mail")
    assert wrong_messages([*right, also], [LOW, FAULT, BACK], recovered_at=5) == ()
    assert len(wrong_messages([*right, also], [LOW, FAULT, BACK], recovered_at=5, agencies_of_operations=True)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda messages: messages[1:], "ended: not received"),
        (lambda messages: [*messages, messages[-1]], "twice to"),
        (lambda messages: [*messages, replace(messages[-1], subject="[1 firing] Many scrapes fail")], "unexpected, to"),
        (lambda messages: [*messages, replace(messages[-1], subject="[1 firing] Ha Noi (H17): low")], "unexpected, to"),
        (lambda messages: [replace(message, at=1.0) for message in messages], "false all-clear to"),
        (lambda messages: [replace(message, text="") for message in messages], "not received by"),
    ],
    ids=["missing", "twice", "unasked", "about an agency", "false all-clear", "without its remedy"],
)
def test_what_is_wrong_is_named(change, said):
    """A message that is missing, comes twice, was not asked for, comes too early, or lacks what to do is wrong."""
    wrong = wrong_messages(change(received(BACK, at=9)), [replace(BACK, what="ended")], recovered_at=5)
    assert wrong
    assert all(said in line or "not received by" in line or "unexpected" in line for line in wrong)
    assert any(said in line for line in wrong), wrong


def test_the_messages_about_an_agency_are_exact():
    """Subject, counts and the number of missing dossiers, in both languages."""
    assert LOW.subjects["vi"] == f"[1 cảnh báo] {HANOI.name_vi} (H17): tỷ lệ hồ sơ trực tuyến toàn trình 2,50 %, dưới ngưỡng 5 %"
    assert LOW.says["vi"] == ("1/40 hồ sơ", "2 hồ sơ toàn trình")
    assert LOW.says["en"] == ("1/40 dossiers", "2 more fully online dossiers")
    assert BACK.subjects["en"] == f"[1 ended] {HANOI.name_en} (H17): rate of fully online dossiers now 13.33 %"


def test_real_time_is_that_of_production():
    """A factor of 1 changes nothing, and a part is gone for 20 minutes; a larger one divides rules and routes."""
    real, fast = Tempo.divided(1), Tempo.divided(60)
    assert (real.rules, real.routes) == (RuleTiming.production(), AlertTiming.production())
    assert (real.outage_seconds, real.pace.scrape, real.resend_delay) == (1200, 5, "60s")
    assert "--rules.alert.for-grace-period=600s" in real.prometheus_options
    assert (fast.rules.agency_for_seconds, fast.routes.group_interval_seconds) == (10, 5)
    assert fast.outage_seconds >= fast.rules.sample_guard_seconds + fast.rules.agency_keep_firing_seconds
    assert fast.routes.heartbeat_repeat_seconds < fast.routes.heartbeat_interval_seconds
    assert fast.routes.escalation_divisor == 60


def outcome(*, wrong=()):
    """A fault of which everybody heard."""
    messages = [*received(LOW), *received(FAULT)]
    return FaultResult("exporter-frozen", (LOW, FAULT), {LOW.what: 12.3}, messages, wrong)


def test_the_table_says_who_was_told_and_how_soon():
    """Each expected message has a line with its people, and the seconds until the last of them had it."""
    console = Console(width=200, record=True, quiet=False, file=None)
    console.print(run.table_of([outcome()]))
    text = console.export_text()
    assert "can-bo, officer: 6 messages" in text
    assert "truc, duty: 6 messages" in text
    assert "12.3" in text
    assert "12 messages in all" in text


@pytest.mark.parametrize(("right", "status"), [(True, 0), (False, 1)])
def test_the_status_tells_whether_every_message_was_right(monkeypatch, tmp_path, right, status):
    """The command ends with 0 when every message was right, else with 1; a fault that does not exist is refused."""
    asked = []
    monkeypatch.setattr(run, "rehearse", lambda wanted, **_: asked.append(wanted) or right)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(create_cli(), ["rehearse", "--factor", "60", "--fault", "kafka-gone"]).exit_code == status
    assert (asked[0].faults, asked[0].factor) == (("kafka-gone",), 60)
    with pytest.raises(ConfigurationError, match="exporter-frozen"):
        CliRunner().invoke(create_cli(), ["rehearse", "--fault", "kafka"], catch_exceptions=False)
