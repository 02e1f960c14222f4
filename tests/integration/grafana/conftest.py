"""Grafana's own libraries in Node, and every panel of the boards."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from dashboards.grafana.generate import boards
from deploy.native.programs import GRAFANA_LIBRARIES, grafana_libraries, node_binary

#: Frames that answer a panel: as Grafana's data sources write them.
Frame = dict


def values(*numbers, title="", ref="A", labels=None) -> Frame:
    """A series of Prometheus with these values and the legend ``title``."""
    field = {"name": "Value", "type": "number", "values": list(numbers), "labels": labels or {}}
    if title:
        field["config"] = {"displayNameFromDS": title}
    return {"refId": ref, "fields": [{"name": "Time", "type": "time", "values": [0] * len(numbers)}, field]}


def rows(ref, columns) -> Frame:
    """A table: column -> values. Numbers are numbers, everything else is text."""
    fields = [
        {
            "name": name,
            "type": "number" if all(isinstance(value, (int, float, type(None))) for value in cells) else "string",
            "values": cells,
        }
        for name, cells in columns.items()
    ]
    return {"refId": ref, "fields": fields}


@pytest.fixture(scope="session")
def evaluate():
    """Asks Grafana's libraries what panels show: [(panel, frames)] -> one answer each, and their colours by name."""
    command = [node_binary(), GRAFANA_LIBRARIES / "evaluate.cjs", grafana_libraries()]

    def ask(cases):
        asked = json.dumps([{"panel": panel, "frames": frames} for panel, frames in cases])
        environment = {**os.environ, "LC_ALL": "vi_VN.UTF-8"}
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        answer = json.loads(done.stdout)
        return answer["found"], answer["colors"]

    return ask


@pytest.fixture(scope="session")
def panels():
    """Every panel: (name of the board, id) -> panel."""
    return {(board["uid"].removeprefix("portalpulse-"), panel["id"]): panel for board in boards() for panel in board["panels"]}
