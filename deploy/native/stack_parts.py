"""Chooses the broker of a stack, and starts its portalpulse processes with the addresses of the stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.native.environment import child_environment
from deploy.native.service import Broker
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.mock_kafka import WARNING, MemoryBroker
from deploy.native.services.portalpulse_process import PortalPulseProcess
from deploy.native.stack_options import StackOptions
from domain.errors import ConfigurationError


def choose_broker(wanted: str, *, folder: Path, log_dir: Path, say: Callable[[str], None]) -> Broker:
    """Kafka; or the in-memory broker if ``wanted`` is memory, or if it is kafka_if_possible and Kafka cannot run here.

    Raises:
        ConfigurationError: Kafka is wanted, and Java or its jars are missing.
    """
    if wanted != "memory":
        try:
            return KafkaNode(data_dir=folder / "kafka", log_dir=log_dir)
        except ConfigurationError as error:
            if wanted == "kafka":
                raise
            say(error.problem)
    say(WARNING)
    return MemoryBroker(data_dir=folder / "memory-broker", log_dir=log_dir)


def portalpulse_process(
    command: Sequence[str],
    options: StackOptions,
    *,
    folder: Path,
    log_dir: Path,
    bootstrap: str,
    clickhouse: str,
    prometheus: str,
    alertmanager: str,
) -> PortalPulseProcess:
    """A portalpulse process with the addresses of this stack.

    Args:
        command: its name and arguments.
        options: of the stack.
        folder: where its data are.
        log_dir: where its log is.
        bootstrap: address of the broker.
        clickhouse: URL of the storage.
        prometheus: URL that the board asks.
        alertmanager: URL that the board asks.
    """
    ours = {
        "DATA_DIR": str(folder),
        "CLOCK": options.clock,
        "REGISTRY_FILE": options.registry_file,  # in place of a relative one: processes have another current folder
        "KAFKA__BOOTSTRAP": bootstrap,
        "KAFKA__TOPIC": options.topic,
        "KAFKA__GROUP": options.group,
        "KAFKA__PARTITIONS": str(options.partitions),
        "CLICKHOUSE__URL": clickhouse,
        "BOARD__PROMETHEUS_URL": prometheus,
        "BOARD__ALERTMANAGER_URL": alertmanager,
    }
    environment = child_environment(os.environ, ours=ours, inherit=options.inherit)
    name, *arguments = command
    return PortalPulseProcess(name, arguments, environment=environment, log_dir=log_dir)
