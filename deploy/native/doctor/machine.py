"""Examines this machine: programs, ports, limits, folder, disk and registry, and whether a local stack runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from deploy.native.doctor.finding import STACK, Finding
from deploy.native.folder import MIN_FREE_BYTES
from deploy.native.open_files import require_open_files
from deploy.native.ports import free_ports
from deploy.native.programs import (
    KAFKA_VERSION,
    alertmanager_binary,
    clickhouse_library,
    java_home,
    kafka_libraries,
    prometheus_binary,
)
from domain.errors import PortalPulseError
from pipeline.addresses import Addresses, owner_of
from pipeline.registry import registry_of
from pipeline.settings import Settings

#: Ports of one stack.
_PORTS_NEEDED: Final = 8


def examine_machine(settings: Settings, data_dir: Path) -> list[Finding]:
    """The findings on programs, ports, limits, the folder and its disk, and the registry.

    Missing programs of a local stack are a fault only where no setting names parts elsewhere.
    """
    programs: Literal["note", "wrong"] = "note" if "bootstrap" in settings.kafka.model_fields_set else "wrong"
    return [
        _python(),
        _part("Java", lambda: f"{java_home()}", missing="note"),
        _part("Kafka jars", lambda: f"{KAFKA_VERSION} in {kafka_libraries()}", missing="note"),
        _part("Prometheus", lambda: str(prometheus_binary()), missing=programs),
        _part("Alertmanager", lambda: str(alertmanager_binary()), missing=programs),
        _part("ClickHouse server library (tests only)", lambda: str(clickhouse_library()), missing="note"),
        _part("Free ports", lambda: f"{len(free_ports(_PORTS_NEEDED))} found on 127.0.0.1"),
        _part("Open files", lambda: f"{require_open_files():,} at once"),
        _part("Registry of agencies", lambda: _registry(settings)),
        *_folder(data_dir),
    ]


def examine_stack(owner: int | None, addresses: Addresses | None, data_dir: Path) -> Finding:
    """Whether a local stack runs on the folder."""
    if owner is None:
        left = "; the last one was killed" if addresses is not None else ""
        return Finding(STACK, "idle", f"none runs on {data_dir}{left}")
    named = f"process {owner} runs it on {data_dir}" if owner else f"it runs on {data_dir}"
    if addresses is None:
        return Finding(STACK, "note", f"{named} and has no addresses yet", "It is starting: wait until it has printed them.")
    return Finding(STACK, "ok", named)


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


def _registry(settings: Settings) -> str:
    agencies = len(registry_of(settings).codes)
    return f"{agencies} codes in {settings.registry_file or 'the packaged one'}"
