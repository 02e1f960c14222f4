"""The commands of ``dashboards``: name -> the module that registers the command."""

from __future__ import annotations

from typing import Final

COMMANDS: Final = {
    "boards": "dashboards.grafana_commands",
    "alerts": "dashboards.alert_commands",
    "relay": "dashboards.relay_commands",
    "watchdog": "dashboards.relay_commands",
}
