"""Reports beside a real worker: what is final, and every form of what is printed."""

from __future__ import annotations

import dataclasses
import uuid

import httpx
import openpyxl
import pytest
from confluent_kafka import Producer

from deploy.native.services.portalpulse_process import PortalPulseProcess
from domain.events import ServiceLevel
from tests.factories import MORNING, a_message, an_event

DAY = MORNING.date().isoformat()
FULL, PARTIAL = ServiceLevel.FULL, ServiceLevel.PARTIAL


@pytest.fixture
def exporter(chain, tmp_path):
    """A factory of an exporter over the chain's database."""
    started = []

    def start():
        process = PortalPulseProcess("exporter", environment=chain.environment, log_dir=tmp_path, name="exporter")
        started.append(process)
        process.launch()
        process.await_ready(timeout=150)
        return process.url

    yield start
    for process in started:
        process.process.stop()


def test_a_report_is_final_only_when_the_worker_has_counted(chain, exporter, tmp_path):
    """While messages wait the report says how many and the command ends with 3; afterwards all of them are in every form."""
    worker = chain.worker()
    url = exporter()
    worker.process.suspend()
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap})
    events = [an_event(agency=code, service_level=level) for code, level in (("H17", FULL), ("H17", PARTIAL), ("G01", FULL))]
    for number, event in enumerate(events * 100):
        message = dataclasses.replace(event, dossier_code=f"{event.agency}-240102-{number:04d}", event_id=uuid.uuid4())
        producer.produce(chain.topic, a_message(message), key=message.dossier_code)
    assert producer.flush(60) == 0

    def report():
        parameters = {"day": DAY, "wait": "0"}
        return httpx.get(f"{url}/api/v1/report", params=parameters, timeout=150, trust_env=False).json()

    def command(*more):
        return chain.command("report", *more, PORTALPULSE_HTTP__PORT=url.rpartition(":")[2])

    early = report()["completeness"]
    assert (early["final"], early["messages_waiting"]) == (False, 300)
    ended = command("--day", DAY, "--format", "csv")
    assert ended.returncode == 3
    assert ended.stderr == "SỐ LIỆU CHƯA CHỐT: Còn 300 bản tin chưa được tính.\n"

    worker.process.resume()
    ended = command("--day", DAY, "--wait", "--sort", "rank")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert [line.split()[-4:-2] for line in lines if "H17" in line] == [["100/200", "50,00"]]
    late = report()
    assert late["completeness"]["final"], late["completeness"]
    figures = {row["code"]: row["indicators"]["I1"] for row in late["rows"]}
    assert (figures["VN"]["numerator"], figures["VN"]["denominator"], figures["VN"]["percent"]) == (200, 300, "66.66")

    ended = command("--day", DAY, "--format", "xlsx", "--output", str(tmp_path / "report.xlsx"))
    assert ended.returncode == 0
    sheet = openpyxl.load_workbook(tmp_path / "report.xlsx").worksheets[0]
    cells = {row[0]: row[3:5] for row in sheet.iter_rows(min_row=6, values_only=True)}
    assert cells == {code: (figure["numerator"], figure["denominator"]) for code, figure in figures.items()}

    ended = command(
        *("--from", "2024-01-01", "--to", DAY, "--compare", f"{DAY}..{DAY}", "--explain", "H17", "--indicator", "I1", "--wait")
    )
    assert ended.returncode == 0, ended.stderr
    assert "100/200" in ended.stdout


@pytest.mark.long
def test_a_report_is_verified_and_repaired(chain, exporter):
    """A tally that is wrong in the storage is found by recomputing the report; the command that is named corrects it."""
    chain.worker()
    url = exporter()
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap})
    for number in range(50):
        for status in (1, 9):
            code = f"H17-240102-{number:04d}"
            producer.produce(chain.topic, a_message(an_event(dossier_code=code, status=status)), key=code)
    assert producer.flush(60) == 0

    def command(*arguments):
        ended = chain.command(*arguments, PORTALPULSE_HTTP__PORT=url.rpartition(":")[2])
        return ended.returncode, ended.stdout

    verify = ("report", "--day", DAY, "--figures", "all", "--wait", "--verify")
    status, output = command(*verify)
    assert (status, "100 stored messages of 50 dossiers" in output) == (0, True), output
    chain.server.query(
        f"INSERT INTO {chain.database}.agency_day SELECT * REPLACE (settled + 3 AS settled, version + 1 AS version) "
        f"FROM {chain.database}.agency_day FINAL WHERE agency = 'H17'"
    )
    status, output = command(*verify)
    assert status == 1, output
    assert ["53", "50"] in [line.replace("│", " ").split()[-2:] for line in output.splitlines() if "counts.settled" in line]
    [remedy] = [line.split("`")[1] for line in output.splitlines() if "--repair" in line]
    assert command(*remedy.split()[1:])[0] == 0
    status, output = command(*verify)
    assert status == 0, output
