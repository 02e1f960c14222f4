"""``portalpulse doctor``: looks at every part and says in plain words what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.native.folder import LEAST_FREE_BYTES
from deploy.native.parts import (
    KAFKA_VERSION,
    alertmanager_binary,
    clickhouse_library,
    java_home,
    kafka_libraries,
    prometheus_binary,
)
from deploy.native.ports import free_ports, is_listening
from pipeline.addresses import Addresses, owner_of, read_addresses
from pipeline.core.errors import PortalPulseError
from pipeline.kafka_access import topics_of
from pipeline.kafka_security import PLAINTEXT
from pipeline.settings import Settings

#: Ports that one stack takes.
PORTS_NEEDED = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one part. ``note`` is fine but worth knowing; only ``wrong`` makes the doctor unhappy."""

    part: str
    state: Literal["ok", "note", "wrong"]
    says: str
    remedy: str = ""


def examine(settings: Settings, *, data_dir: Path) -> list[Finding]:
    """Look at everything; no part's trouble hides another's."""
    try:
        addresses = read_addresses(data_dir)
        problem = None
    except PortalPulseError as error:
        addresses, problem = None, error
    findings = [
        _python(),
        _part("Java", lambda: f"{java_home()}", missing="note"),
        _part("Kafka jars", lambda: f"{KAFKA_VERSION} in {kafka_libraries()}", missing="note"),
        _part("Prometheus", lambda: str(prometheus_binary())),
        _part("Alertmanager", lambda: str(alertmanager_binary())),
        _part("ClickHouse server library (tests only)", lambda: str(clickhouse_library()), missing="note"),
        _part("Free ports", lambda: f"{len(free_ports(PORTS_NEEDED))} found on 127.0.0.1"),
        *_folder(data_dir),
    ]
    if problem is not None:
        findings.append(Finding("Addresses", "wrong", problem.problem, problem.remedy))
    findings.append(_broker(settings, addresses))
    findings.append(_clickhouse(settings, addresses, data_dir))
    findings.append(_exporter(settings, addresses))
    if addresses is not None:
        findings.append(_answers("Prometheus' pages", f"{addresses.prometheus}/-/ready"))
        findings.append(_answers("Alertmanager's pages", f"{addresses.alertmanager}/-/ready"))
    return findings


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def print_findings(findings: list[Finding], *, console: Console) -> None:
    """The findings as a table, and the remedies below it."""
    marks = {"ok": "[green]✓[/green]", "note": "[yellow]![/yellow]", "wrong": "[bold red]✗[/bold red]"}
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        table.add_row(marks[finding.state], finding.part, escape(finding.says))
    console.print(table)
    for finding in findings:
        if finding.state != "ok" and finding.remedy:
            console.print(f"{marks[finding.state]} {finding.part}: {escape(finding.remedy)}", highlight=False)
    wrong = sum(finding.state == "wrong" for finding in findings)
    console.print("Everything is in order." if not wrong else f"{wrong} things are wrong.")


def as_json(findings: list[Finding]) -> dict[str, object]:
    """The findings for machines."""
    return {"healthy": healthy(findings), "findings": [asdict(finding) for finding in findings]}


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - the doctor must be able to say so
        return Finding("Python", "wrong", f"{version} is too old", "Install Python 3.11 or newer and run deploy/setup.sh.")
    return Finding("Python", "ok", f"{version} in {sys.prefix}")


def _part(part: str, look: Callable[[], str], *, missing: Literal["note", "wrong"] = "wrong") -> Finding:
    try:
        return Finding(part, "ok", look())
    except PortalPulseError as error:
        return Finding(part, missing, error.problem, error.remedy)


def _folder(path: Path) -> list[Finding]:
    part = "Data folder"
    base = next(parent for parent in (path.resolve(), *path.resolve().parents) if parent.exists())
    findings: list[Finding] = []
    try:
        probe = base / f".portalpulse-doctor-{os.getpid()}"
        probe.touch()
        probe.unlink()
        owner = owner_of(path)
        if owner is None:
            findings.append(Finding(part, "ok", f"{path} can be written and is not in use"))
        else:
            findings.append(Finding(part, "ok", f"{path} is in use by the stack of process {owner or 'unknown'}"))
    except OSError as error:
        said = f"{base} cannot be written: {error.strerror}"
        findings.append(Finding(part, "wrong", said, "Choose another folder with --data or change its owner."))
    free = shutil.disk_usage(base).free
    state: Literal["ok", "wrong"] = "ok" if free >= LEAST_FREE_BYTES else "wrong"
    remedy = "" if state == "ok" else "Free some space or choose a folder on another disk with --data."
    findings.append(Finding("Disk", state, f"{free / 1e9:.1f} GB free for {path}", remedy))
    return findings


#: A part of the stack that does not answer is no fault when no stack was started here.
_NOT_RUNNING = "Start the stack with `portalpulse up`, or say with --data or the settings where it runs."


def _broker(settings: Settings, addresses: Addresses | None) -> Finding:
    brokers = (addresses.kafka,) if addresses else settings.kafka.bootstrap
    bootstrap = ",".join(brokers)
    fault: Literal["note", "wrong"] = "wrong" if addresses else "note"
    if not any(is_listening(int(port), host=host) for host, _, port in (broker.rpartition(":") for broker in brokers)):
        return Finding("Broker", fault, f"nothing listens at {bootstrap}", _NOT_RUNNING)
    security = PLAINTEXT if addresses else settings.kafka
    try:
        topics = topics_of(brokers, security, timeout=3.0)
    except PortalPulseError as error:
        # A login or TLS is set for a broker that is meant to be there.
        secured = security.security_protocol != "PLAINTEXT"
        return Finding("Broker", "wrong" if secured else fault, error.problem, error.remedy)
    topic = topics.get(settings.kafka.topic)
    if topic is None:
        said = f"{bootstrap} answers but has no topic {settings.kafka.topic}"
        return Finding("Broker", "note", said, "`portalpulse up` creates it, and so does `portalpulse worker --create-topic`.")
    return Finding("Broker", "ok", f"{bootstrap} answers; {settings.kafka.topic} has {len(topic.partitions)} partitions")


def _clickhouse(settings: Settings, addresses: Addresses | None, data_dir: Path) -> Finding:
    url = settings.clickhouse.url.get_secret_value()
    if addresses is not None or url.startswith("chdb:"):
        folder = data_dir / "clickhouse" if addresses is not None else Path(url.removeprefix("chdb:"))
        said = "belongs to the running worker" if addresses is not None else "is opened by the worker"
        return Finding("ClickHouse", "ok", f"embedded; {folder} {said}")
    parsed = httpx.URL(url)
    shown = str(parsed.copy_with(username=None, password=None, path="/ping"))
    return _answers("ClickHouse", shown)


def _exporter(settings: Settings, addresses: Addresses | None) -> Finding:
    base = addresses.http if addresses else f"http://{settings.http.host}:{settings.http.port}"
    return _answers("Exporter and API", f"{base}/readyz", fault="wrong" if addresses else "note")


def _answers(part: str, url: str, *, fault: Literal["note", "wrong"] = "wrong") -> Finding:
    try:
        answer = httpx.get(url, timeout=3.0, trust_env=False)
    except httpx.HTTPError as error:
        return Finding(part, fault, f"{url} does not answer ({type(error).__name__})", _NOT_RUNNING)
    if answer.is_success:
        return Finding(part, "ok", f"{url} answers")
    said = " ".join(answer.text.split())[:200]
    return Finding(part, "wrong", f"{url} answers {answer.status_code}: {said}", "Look into the part's log below DIR/logs.")
