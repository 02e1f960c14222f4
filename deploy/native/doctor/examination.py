"""Finds out which parts exist, by the settings or by the running local stack, and examines all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from deploy.native.doctor.alerting import examine_alertmanager, examine_prometheus
from deploy.native.doctor.broker import examine_brokers
from deploy.native.doctor.checks import PART_SECONDS, Check, run_checks
from deploy.native.doctor.clocks import Clocks
from deploy.native.doctor.finding import Finding
from deploy.native.doctor.machine import examine_machine, examine_stack
from deploy.native.doctor.process import examine_delivery, examine_process, examine_process_of_settings
from deploy.native.doctor.storage import examine_server, name_of, storage_servers
from domain.errors import PortalPulseError
from pipeline.addresses import Addresses, owner_of, read_addresses
from pipeline.cli.remote import Process
from pipeline.settings import ClickHouseSettings, KafkaSettings, Settings


def examine(
    settings: Settings,
    *,
    data_dir: Path,
    pending: Callable[[Sequence[str]], None] = lambda _: None,
    seconds: float = PART_SECONDS,
) -> list[Finding]:
    """Examine every part; one fault does not hide another.

    Args:
        settings: the parts that they name are examined, unless a stack runs on the folder.
        data_dir: the folder of the local stack.
        pending: called with the names of the parts that are still being examined.
        seconds: longest examination of a part.
    """
    data_dir.absolute()  # a current folder that was deleted ends every command
    try:
        addresses = read_addresses(data_dir)
        problem = None
    except PortalPulseError as error:
        addresses, problem = None, error
    owner, clocks = owner_of(data_dir), Clocks()
    before = [] if problem is None else [Finding("Addresses", "wrong", problem.problem, problem.remedy)]
    checks = [Check("This machine", partial(examine_machine, settings, data_dir))]
    checks.append(Check("Stack", lambda: [*before, examine_stack(owner, addresses, data_dir)]))
    if owner is None:
        checks += _by_the_settings(settings, clocks)
    elif addresses is not None:
        checks += _by_the_stack(addresses, settings, data_dir, clocks)
    findings = run_checks(checks, pending=pending, seconds=seconds)
    return [*findings, *clocks.findings()]


def _by_the_settings(settings: Settings, clocks: Clocks) -> list[Check]:
    """The checks of the parts that the settings name, when no local stack runs."""
    listed = ", ".join(settings.kafka.bootstrap)
    if "bootstrap" in settings.kafka.model_fields_set:
        missing = Finding(
            "Broker", "wrong", f"nothing listens at {listed}", "Start it there, or correct PORTALPULSE_KAFKA__BOOTSTRAP."
        )
    else:
        missing = Finding("Broker", "idle", f"not started (nothing listens at {listed})")
    notify, board = settings.notify, settings.board
    checks = [
        Check("Broker", partial(examine_brokers, settings, settings.kafka, missing, clocks)),
        *_storage(settings, clocks),
        Check("Exporter and API", partial(examine_process_of_settings, settings, clocks)),
    ]
    for url, variable in _named(notify.prometheus_url, board.prometheus_url, "PROMETHEUS_URL"):
        checks.append(Check("Prometheus", partial(examine_prometheus, url, clocks, f"Start it, or correct {variable}.")))
    for url, variable in _named(notify.alertmanager_url, board.alertmanager_url, "ALERTMANAGER_URL"):
        checks.append(Check("Alertmanager", partial(examine_alertmanager, url, clocks, f"Start it, or correct {variable}.")))
    if notify.relay_url:
        checks.append(Check("Relay", partial(examine_delivery, "Relay", notify.relay_url, "portalpulse relay")))
    if notify.heartbeat_url:
        checks.append(Check("Watchdog", partial(examine_delivery, "Watchdog", notify.heartbeat_url, "portalpulse watchdog")))
    return checks


def _named(notify: str, board: str, name: str) -> list[tuple[str, str]]:
    """The addresses of a part, each once, with the name of the setting that has it."""
    found = {board.rstrip("/"): f"PORTALPULSE_BOARD__{name}", notify.rstrip("/"): f"PORTALPULSE_NOTIFY__{name}"}
    return [(url, variable) for url, variable in found.items() if url]


def _storage(settings: Settings, clocks: Clocks, remedy: str = "") -> list[Check]:
    """The checks of the ClickHouse of the settings, or of each server of its cluster."""
    found = storage_servers(settings)
    if isinstance(found, Finding):
        return [Check(found.part, lambda: [found])]
    return [Check(name_of(server), partial(examine_server, server, settings, clocks, remedy)) for server in found]


def _by_the_stack(addresses: Addresses, settings: Settings, data_dir: Path, clocks: Clocks) -> list[Check]:
    """The checks of the parts of the local stack, which use neither TLS nor SASL."""
    remedy = f"See {data_dir / 'logs'}. `portalpulse up` restarts what ends or hangs. If it stays so, restart `portalpulse up`."
    missing = Finding("Broker", "wrong", f"nothing listens at {addresses.kafka}", remedy)
    kafka = KafkaSettings(bootstrap=(addresses.kafka,), topic=settings.kafka.topic, group=settings.kafka.group)
    process = Process(addresses.http, data_dir, settings.http.sent_token)
    return [
        Check("Broker", partial(examine_brokers, settings, kafka, missing, clocks)),
        *_storage_of_the_stack(addresses, settings, data_dir, clocks, remedy),
        Check("Exporter and API", partial(examine_process, process, clocks)),
        Check("Prometheus", partial(examine_prometheus, addresses.prometheus, clocks, remedy)),
        Check("Alertmanager", partial(examine_alertmanager, addresses.alertmanager, clocks, remedy)),
    ]


def _storage_of_the_stack(addresses: Addresses, settings: Settings, data_dir: Path, clocks: Clocks, remedy: str) -> list[Check]:
    if not addresses.clickhouse:
        says = f"embedded; {data_dir / 'clickhouse'} belongs to the running worker"
        return [Check("ClickHouse", lambda: [Finding("ClickHouse", "ok", says)])]
    url = SecretStr(addresses.clickhouse)
    return _storage(settings.model_copy(update={"clickhouse": ClickHouseSettings(url=url)}), clocks, remedy)
