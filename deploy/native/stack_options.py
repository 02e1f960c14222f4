"""The options of a local stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How to compose the stack.

    ``broker``: kafka, memory, or kafka_if_possible (memory on a machine without Java).
    ``clickhouse``: embedded in the one worker process, or a server with worker and exporter beside it.
    ``quick``: seconds instead of minutes until an alert is delivered; the rules are the same.
    ``registry_file``: the absolute path of a registry of agencies; "" for the packaged one.
    ``recipients_file``: the absolute path of the file of people who are told about alerts; "": only terminal and folder.
    ``inherit``: whether settings of the shell that tune a worker are passed on; see ``deploy.native.environment``.
    """

    data_dir: Path
    topic: str
    group: str
    partitions: int
    clock: str = "system"
    registry_file: str = ""
    broker: Literal["kafka", "memory", "kafka_if_possible"] = "kafka"
    clickhouse: Literal["embedded", "server"] = "embedded"
    quick: bool = False
    inherit: bool = True
    recipients_file: str = ""
