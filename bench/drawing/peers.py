"""The comparison as horizontal bars: python -m bench.drawing.peers RESULTS.json TARGET.svg."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_OURS, _EXACT, _WRONG = "#0b6e4f", "#4c78a8", "#b9b9b9"


def draw(runs: list[dict[str, Any]], target: Path) -> None:
    """Medians as bars, ranges as whiskers; the colour shows which contenders are exact after a redelivery."""
    # Reproducible output: text as text, no date, no random ids.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "portalpulse", "font.family": "sans-serif", "font.size": 10}
    shown = sorted((run for run in runs if run["events_per_second"]), key=lambda run: statistics.median(run["events_per_second"]))
    figure = Figure(figsize=(8.6, 0.55 * len(shown) + 1.5), layout="constrained")
    axes = figure.subplots()
    widest = max(max(run["events_per_second"]) for run in shown)
    for position, run in enumerate(shown):
        rates = run["events_per_second"]
        median = statistics.median(rates)
        whisker = [[median - min(rates)], [max(rates) - median]]
        axes.barh(position, median, color=_colour(run), xerr=whisker, ecolor="#333333", capsize=3, height=0.62)
        exact = {True: "exact", False: "not exact", None: "not checked"}[run["exact_after_redelivery"]]
        axes.text(max(rates) + widest * 0.015, position, f"{median:,.0f}  {exact}", va="center")
    axes.set_yticks(range(len(shown)), [_title(run) for run in shown])
    axes.set_xlim(0, widest * 1.32)
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value / 1000:,.0f} k")
    axes.set_xlabel("events a second, Kafka to counted in ClickHouse (median, least and most)")
    axes.set_title("Throughput, and exactness after a forced redelivery", loc="left", fontweight="bold")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})


def _colour(run: dict[str, Any]) -> str:
    if run["name"] == "portalpulse":
        return _OURS
    return _EXACT if run["exact_after_redelivery"] else _WRONG


def _title(run: dict[str, Any]) -> str:
    return run["name"] + (f" ({run['workers']} workers)" if run["workers"] > 1 else "")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["runs"], Path(sys.argv[2]))
