"""Examines the processes of portalpulse: worker, exporter and board, relay and watchdog."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from deploy.native.doctor.clocks import Clocks
from deploy.native.doctor.endpoints import answers, certificate, read_clock
from deploy.native.doctor.finding import Finding
from domain.errors import ConfigurationError, UnavailableError
from pipeline.cli.remote import AnotherProgramError, AnswerError, NotRunningError, Process, by_settings
from pipeline.settings import Settings

PART = "Exporter and API"
#: Units of misplaced events that are named.
_SHOWN_UNITS = 5
_HTTPS_PORT = 443
_RECOUNT = (
    "A registry applies to new events. To count all events by it, start a worker on an empty database and with a new group: "
    "`PORTALPULSE_CLICKHOUSE__URL=URL PORTALPULSE_KAFKA__GROUP=NAME portalpulse worker` reads the topic from its beginning; "
    "`portalpulse replay` sends what Kafka does not keep any more."
)


def examine_process_of_settings(settings: Settings, clocks: Clocks) -> list[Finding]:
    """The findings on the worker or exporter that the settings name."""
    try:
        process = by_settings(settings)
    except ConfigurationError as error:
        return [Finding(PART, "wrong", error.problem, error.remedy)]
    return examine_process(process, clocks)


def examine_process(process: Process, clocks: Clocks) -> list[Finding]:
    """The findings on a running worker or exporter, on its board, and on the units of the events that it has stored."""
    answering = _is_ready(process)
    if answering.state != "ok":
        return [answering]
    read_clock(f"the process at {process.url}", f"{process.url}/livez", clocks, process.trust)
    parts = urlsplit(process.url)
    ends = (
        certificate("Exporter and API: certificate", parts.hostname or "", parts.port or _HTTPS_PORT, process.trust)
        if parts.scheme == "https"
        else []
    )
    return [answering, *ends, *_figures(process), *_units(process)]


def examine_delivery(part: str, url: str, what: str) -> list[Finding]:
    """The findings on the relay or watchdog at an address that the settings name."""
    parts = urlsplit(url)
    return [answers(part, f"{parts.scheme}://{parts.netloc}/healthz", f"Start it with `{what}`, or correct its address.")]


def _figures(process: Process) -> list[Finding]:
    """Whether the process answers questions about figures with the token of the settings."""
    part = "Figures and board"
    try:
        status = process.request_json("GET", "/api/v1/status", timeout=10.0)
        stored, newest = status["events"]["stored"], status["newest_event"]
    except AnswerError as error:
        if error.status == httpx.codes.NOT_FOUND:  # a worker beside an exporter
            return [Finding(part, "idle", f"{process.url} is a worker beside an exporter; it has no figures")]
        remedy = error.remedy
        if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            remedy = "Give this shell a token of the process: PORTALPULSE_HTTP__READ_TOKEN or PORTALPULSE_HTTP__OPERATE_TOKEN."
        return [Finding(part, "wrong", error.problem, remedy)]
    except UnavailableError as error:
        return [Finding(part, "wrong", error.problem, error.remedy)]
    says = f"{stored:,} events, the newest of {newest}" if newest else "no event yet"
    return [Finding(part, "ok", f"{process.url} answers: {says}")]


def _units(process: Process) -> list[Finding]:
    """Whether events are stored under units that the registry in force does not have on their day."""
    part = "Units of stored events"
    try:
        units = process.request_json("GET", "/api/v1/misplaced")["units"]
    except AnswerError as error:
        # A worker beside an exporter has no figures; without a token the part before says so.
        silent = (httpx.codes.NOT_FOUND, httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
        return [] if error.status in silent else [Finding(part, "wrong", error.problem, error.remedy)]
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
    try:
        process.require_alive()
    except AnotherProgramError as error:
        return Finding(PART, "wrong" if process.folder is not None else "note", error.problem, error.remedy)
    except NotRunningError as error:
        if process.folder is None:
            return Finding(PART, "idle", f"not started (nothing listens at {process.url})")
        return Finding(PART, "wrong", error.problem, error.remedy)
    except UnavailableError as error:
        return Finding(PART, "wrong", error.problem, error.remedy)
    where = f"below {process.folder / 'logs'}" if process.folder is not None else "of the process"
    remedy = f"The answer names what the process waits for; see also the log {where}."
    return answers(PART, f"{process.url}/readyz", remedy, process.trust)
