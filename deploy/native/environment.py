"""Decides which settings of the shell are passed to the processes of a local stack.

The stack has its own broker, ClickHouse and ports: addresses, passwords and certificates of another system do not apply to it.
Settings that tune a worker are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy.native.processes import UTF8_ENVIRONMENT
from pipeline.settings import PREFIX

#: Kafka settings that apply to every broker, and those that the stack itself reads from the shell.
_KAFKA_TUNING = frozenset(
    {"SESSION_TIMEOUT_SECONDS", "FETCH_BYTES", "FETCH_MIN_BYTES", "FETCH_MAX_WAIT_MS", "METADATA_MAX_AGE_SECONDS"}
) | {"INSTANCE_ID", "LEAVE_ON_STOP"}
_KAFKA_CHOSEN = frozenset({"TOPIC", "GROUP", "PARTITIONS"})
#: The other settings that are addresses; a section as one JSON text, or a file of secrets, may contain some of them.
_ADDRESSES = frozenset({"KAFKA", "CLICKHOUSE", "HTTP", "CLICKHOUSE__URL", "HTTP__HOST", "HTTP__PORT", "CLICKHOUSE__CA_FILE"}) | {
    "CLICKHOUSE__SHARDS",
    "CLICKHOUSE__CLUSTER",
    "KAFKA__PORTAL_PREFIX",
    "SECRETS_DIR",
    "HTTP__URL",
    "HTTP__CERTIFICATE_FILE",
    "HTTP__KEY_FILE",
    "HTTP__CA_FILE",
    "BOARD",
    "BOARD__PROMETHEUS_URL",
    "BOARD__ALERTMANAGER_URL",
}
#: Recipients of alerts and their secrets: read by the stack itself, not by its processes.
_OF_THE_STACK = f"{PREFIX}NOTIFY"
#: Settings that even the demo follows: its folder, its topic and the log format; none changes a figure.
_DEMO = frozenset({"DATA_DIR", "KAFKA__TOPIC", "KAFKA__GROUP", "LOG"})


def ignored_settings(base: Mapping[str, str], *, inherit: bool) -> list[str]:
    """Variables of ``base`` that the stack ignores, sorted; ``inherit`` as in ``child_environment``."""
    return sorted(name for name in base if name.upper().startswith(PREFIX) and not _is_followed(name, inherit=inherit))


def child_environment(base: Mapping[str, str], *, ours: Mapping[str, str], inherit: bool) -> dict[str, str]:
    """The environment of a portalpulse process: what it inherits of ``base``, in UTF-8, overridden by ``ours``.

    Args:
        base: the environment of this process.
        ours: settings by their names without the prefix.
        inherit: whether settings of ``base`` that tune a worker are passed on, or only those of the log.
    """
    ignored = set(ignored_settings(base, inherit=inherit))
    overridden = {PREFIX + name for name in ours}
    kept = {
        name: value
        for name, value in base.items()
        if name not in ignored and name.upper() not in overridden and not name.upper().startswith(_OF_THE_STACK)
    }
    return kept | UTF8_ENVIRONMENT | {PREFIX + name: value for name, value in ours.items()}


def _is_followed(variable: str, *, inherit: bool) -> bool:
    name = variable.upper().removeprefix(PREFIX)  # settings are case-insensitive
    section, _, setting = name.partition("__")
    if not inherit:
        return name in _DEMO or section in _DEMO
    if section == "KAFKA" and setting:
        return setting in _KAFKA_TUNING | _KAFKA_CHOSEN
    return name not in _ADDRESSES
