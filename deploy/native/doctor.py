"""``portalpulse doctor``: checks every part of the set-up and reports what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.native.folder import MIN_FREE_BYTES
from deploy.native.open_files import require_open_files
from deploy.native.ports import free_ports, is_listening
from deploy.native.programs import (
    KAFKA_VERSION,
    alertmanager_binary,
    clickhouse_library,
    java_home,
    kafka_libraries,
    prometheus_binary,
)
from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from pipeline.addresses import Addresses, owner_of, read_addresses
from pipeline.authorities import trust_of
from pipeline.cli.remote import AnotherProgramError, AnswerError, NotRunningError, Process, by_settings
from pipeline.kafka.access import topics_of
from pipeline.kafka.security import PLAINTEXT
from pipeline.registry import registry_of
from pipeline.settings import KafkaSettings, Settings

#: Ports of one stack.
PORTS_NEEDED = 8
_STACK = "Stack"
_PROCESS = "Exporter and API"
#: Units of misplaced events that are named.
_SHOWN_UNITS = 5
_RECOUNT = (
    "A registry applies to new events. To count all events by it, start a worker on an empty database and with a new group: "
    "`PORTALPULSE_CLICKHOUSE__URL=URL PORTALPULSE_KAFKA__GROUP=NAME portalpulse worker` reads the topic from its beginning; "
    "`portalpulse replay` sends what Kafka does not keep any more."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one part of the set-up.

    ``idle``: not started, and it need not be. ``note``: no fault, but worth knowing. Only ``wrong`` is a fault.
    """

    part: str
    state: Literal["ok", "idle", "note", "wrong"]
    says: str
    remedy: str = ""


def examine(settings: Settings, *, data_dir: Path) -> list[Finding]:
    """Check everything; one fault does not hide another."""
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
        _part("Open files", lambda: f"{require_open_files():,} at once"),
        _part("Registry of agencies", lambda: _registry(settings)),
        *_folder(data_dir),
    ]
    if problem is not None:
        findings.append(Finding("Addresses", "wrong", problem.problem, problem.remedy))
    owner = owner_of(data_dir)
    findings.append(_stack(owner, addresses, data_dir))
    if owner is None:
        return [*findings, *_by_the_settings(settings)]
    if addresses is None:
        return findings
    remedy = f"See {data_dir / 'logs'}. `portalpulse up` restarts what ends or hangs. If it stays so, restart `portalpulse up`."
    return [
        *findings,
        _broker(
            (addresses.kafka,), settings, PLAINTEXT, Finding("Broker", "wrong", f"nothing listens at {addresses.kafka}", remedy)
        ),
        _engine(addresses, data_dir, remedy),
        *_process(Process(addresses.http, data_dir, settings.http.sent_token)),
        _answers("Prometheus' pages", f"{addresses.prometheus}/-/ready", remedy),
        _answers("Alertmanager's pages", f"{addresses.alertmanager}/-/ready", remedy),
    ]


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def print_findings(findings: list[Finding], *, console: Console) -> None:
    """The findings as a table, and the remedies below it."""
    marks = {"ok": "[green]✓[/green]", "idle": "[dim]·[/dim]", "note": "[yellow]![/yellow]", "wrong": "[bold red]✗[/bold red]"}
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        table.add_row(marks[finding.state], finding.part, escape(finding.says))
    console.print(table)
    for finding in findings:
        if finding.state != "ok" and finding.remedy:
            console.print(f"{marks[finding.state]} {finding.part}: {escape(finding.remedy)}", highlight=False)
    console.print(summary(findings), highlight=False)


def summary(findings: list[Finding]) -> str:
    """The last line."""
    wrong = sum(finding.state == "wrong" for finding in findings)
    if wrong:
        return "1 thing is wrong." if wrong == 1 else f"{wrong} things are wrong."
    if any(finding.part == _STACK and finding.state == "idle" for finding in findings):
        return "This machine is ready. No stack runs: start it with `portalpulse up`."
    return "No problem found."


def as_json(findings: list[Finding]) -> dict[str, object]:
    """The findings as JSON."""
    return {"healthy": healthy(findings), "findings": [asdict(finding) for finding in findings]}


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - the doctor must be able to say so
        return Finding("Python", "wrong", f"{version} is too old", "Install Python 3.11 or newer and run deploy/setup.sh.")
    return Finding("Python", "ok", f"{version} in {sys.prefix}")


def _part(part: str, locate: Callable[[], str], *, missing: Literal["note", "wrong"] = "wrong") -> Finding:
    try:
        return Finding(part, "ok", locate())
    except PortalPulseError as error:
        return Finding(part, missing, error.problem, error.remedy)


def _folder(path: Path) -> list[Finding]:
    part = "Data folder"
    above = (path.absolute(), *path.absolute().parents)
    base = next(parent for parent in above if os.path.lexists(parent))  # a dangling link blocks the path, too
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
        message = f"{base} cannot be written: {error.strerror}"
        findings.append(Finding(part, "wrong", message, "Choose another folder with --data or change its owner."))
    free = shutil.disk_usage(next(parent for parent in above if os.path.isdir(parent))).free  # noqa: PTH112 - no name is too long for it
    state: Literal["ok", "wrong"] = "ok" if free >= MIN_FREE_BYTES else "wrong"
    remedy = "" if state == "ok" else "Free some space or choose a folder on another disk with --data."
    findings.append(Finding("Disk", state, f"{free / 1e9:.1f} GB free for {path}", remedy))
    return findings


def _stack(owner: int | None, addresses: Addresses | None, data_dir: Path) -> Finding:
    if owner is None:
        left = "; the last one was killed" if addresses is not None else ""
        return Finding(_STACK, "idle", f"none runs on {data_dir}{left}")
    named = f"process {owner} runs it on {data_dir}" if owner else f"it runs on {data_dir}"
    if addresses is None:
        return Finding(_STACK, "note", f"{named} and has no addresses yet", "It is starting: wait until it has printed them.")
    return Finding(_STACK, "ok", named)


def _by_the_settings(settings: Settings) -> list[Finding]:
    """The services that the settings name; the others belong to a stack, and none runs."""
    brokers = settings.kafka.bootstrap
    listed = ", ".join(brokers)
    if "bootstrap" in settings.kafka.model_fields_set:
        remedy = "Start it there, or correct PORTALPULSE_KAFKA__BOOTSTRAP."
        missing = Finding("Broker", "wrong", f"nothing listens at {listed}", remedy)
    else:
        missing = Finding("Broker", "idle", f"not started (nothing listens at {listed})")
    try:
        process = _process(by_settings(settings))
    except ConfigurationError as error:
        process = [Finding(_PROCESS, "wrong", error.problem, error.remedy)]
    return [_broker(brokers, settings, settings.kafka, missing), *_storage(settings), *process]


def _storage(settings: Settings) -> list[Finding]:
    """The ClickHouse of the settings, or each server of its cluster."""
    clickhouse, url = settings.clickhouse, settings.clickhouse.url.get_secret_value()
    if servers := [address for shard in clickhouse.addresses for address in shard]:
        return [_clickhouse(settings, server, "Start it there, or correct PORTALPULSE_CLICKHOUSE__SHARDS.") for server in servers]
    if url.startswith("chdb:"):
        return [Finding("ClickHouse", "idle", f"embedded in {url.removeprefix('chdb:')}; not opened")]
    return [_clickhouse(settings, url, "Start it there, or correct PORTALPULSE_CLICKHOUSE__URL.")]


def _clickhouse(settings: Settings, address: str, remedy: str) -> Finding:
    try:
        url = str(httpx.URL(address).copy_with(username=None, password=None, path="/ping", query=None))
    except httpx.InvalidURL:
        return Finding("ClickHouse", "wrong", "the address of the server cannot be read", remedy)
    try:
        trust = trust_of(settings.clickhouse.ca_file, variable="PORTALPULSE_CLICKHOUSE__CA_FILE")
    except ConfigurationError as error:
        return Finding("ClickHouse", "wrong", error.problem, error.remedy)
    return _answers("ClickHouse", url, remedy, trust)


def _broker(brokers: Sequence[str], settings: Settings, security: KafkaSettings, missing: Finding) -> Finding:
    bootstrap = ",".join(brokers)
    addresses = (broker.rpartition(":") for broker in brokers)
    if not any(is_listening(int(port), host=host.strip("[]")) for host, _, port in addresses):
        return missing
    try:
        topics = topics_of(brokers, security, used=settings.kafka.topic, timeout=3.0)
    except PortalPulseError as error:
        return Finding("Broker", "wrong", error.problem, error.remedy)
    read = settings.kafka.topics(registry_of(settings).codes)
    if len(read) > 1:
        return _portals(bootstrap, settings.kafka.portal_prefix, {name for name in topics if name in read}, topics)
    topic = topics.get(settings.kafka.topic)
    if topic is None:
        message = f"{bootstrap} answers but has no topic {settings.kafka.topic}"
        return Finding("Broker", "note", message, "`portalpulse up` creates it, and so does `portalpulse worker --create-topic`.")
    return Finding("Broker", "ok", f"{bootstrap} answers; {settings.kafka.topic} has {len(topic.partitions)} partitions")


def _portals(bootstrap: str, prefix: str, read: Collection[str], topics: Collection[str]) -> Finding:
    """Whether portals have topics, and whether every topic behind the prefix is read."""
    strays = sorted(name for name in topics if name.startswith(prefix) and name not in read)
    if strays:
        message = f"{bootstrap} has topics behind {prefix} that no worker reads: {', '.join(strays[:5])}"
        return Finding("Broker", "wrong", message, "The rest of the name must be the code of an agency of the registry.")
    if not read:
        return Finding(
            "Broker",
            "note",
            f"{bootstrap} answers but has no topic {prefix}CODE",
            "docs/kafka_access.md has the commands.",
        )
    return Finding("Broker", "ok", f"{bootstrap} answers; {len(read)} portals have a topic {prefix}CODE")


def _engine(addresses: Addresses, data_dir: Path, remedy: str) -> Finding:
    if addresses.clickhouse:
        return _answers("ClickHouse", f"{addresses.clickhouse}/ping", remedy)
    return Finding("ClickHouse", "ok", f"embedded; {data_dir / 'clickhouse'} belongs to the running worker")


def _registry(settings: Settings) -> str:
    agencies = len(registry_of(settings).codes)
    return f"{agencies} codes in {settings.registry_file or 'the packaged one'}"


def _process(process: Process) -> list[Finding]:
    """The state of the running worker or exporter, and of the units of what it has stored."""
    answers = _is_ready(process)
    return [answers, *_units(process)] if answers.state == "ok" else [answers]


def _units(process: Process) -> list[Finding]:
    """Whether events are stored under units that the registry in force does not have on their day."""
    part = "Units of stored events"
    try:
        units = process.request_json("GET", "/api/v1/misplaced")["units"]
    except AnswerError as error:
        # A worker beside an exporter has no figures.
        return [] if error.status == httpx.codes.NOT_FOUND else [Finding(part, "wrong", error.problem, error.remedy)]
    except UnavailableError as error:
        return [Finding(part, "wrong", error.problem, error.remedy)]
    if not units:
        return [Finding(part, "ok", "each was in force on the day of its events")]
    shown = [
        f"{unit['events']:,} of {unit['stored_unit']} ({unit['from']} to {unit['to']}) belong to {unit['unit'] or 'no agency'}"
        for unit in units[:_SHOWN_UNITS]
    ]
    more = f"; {len(units) - _SHOWN_UNITS} more units" if len(units) > _SHOWN_UNITS else ""
    total = sum(unit["events"] for unit in units)
    says = f"{total:,} events are stored under units that were not in force on their day: {'; '.join(shown)}{more}"
    return [Finding(part, "note", says, _RECOUNT)]


def _is_ready(process: Process) -> Finding:
    """Whether a worker or exporter runs and is ready. Without a stack it need not run."""
    part = _PROCESS
    try:
        process.require_alive()
    except AnotherProgramError as error:
        return Finding(part, "wrong" if process.folder is not None else "note", error.problem, error.remedy)
    except NotRunningError as error:
        if process.folder is None:
            return Finding(part, "idle", f"not started (nothing listens at {process.url})")
        return Finding(part, "wrong", error.problem, error.remedy)
    except UnavailableError as error:
        return Finding(part, "wrong", error.problem, error.remedy)
    where = f"below {process.folder / 'logs'}" if process.folder is not None else "of the process"
    remedy = f"Its answer names what it waits for; see also the log {where}."
    return _answers(part, f"{process.url}/readyz", remedy, process.trust)


def _answers(part: str, url: str, remedy: str, trust: ssl.SSLContext | None = None) -> Finding:
    try:
        answer = httpx.get(url, timeout=5.0, trust_env=False, verify=trust or True)
    except httpx.TimeoutException:
        return Finding(part, "wrong", f"{url} does not answer within 5 s", remedy)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Finding(part, "wrong", f"{url} cannot be reached: {error}", remedy)
    if answer.is_success:
        return Finding(part, "ok", f"{url} answers")
    message = " ".join(answer.text.split())[:200]
    return Finding(part, "wrong", f"{url} answers {answer.status_code}: {message}", remedy)
