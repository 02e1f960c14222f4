"""The comparison as a table (in the console and in docs/performance.md) and as a plot, both from results.json alone."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from bench import results
from bench.environment import child_environment, peers_python
from deploy.native.parts import PROJECT
from pipeline.core.errors import ConfigurationError

PAGE = PROJECT / "docs" / "performance.md"
PLOT = PROJECT / "docs" / "performance-peers.svg"
OPENING, CLOSING = "<!-- peers -->", "<!-- /peers -->"
_HEADINGS = (
    "contender",
    "messages",
    "median events/s",
    "least to most",
    "portalpulse is",
    "s since start",
    "exact after redelivery",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command("figures")
    def redraw() -> None:
        """Write docs/performance-peers.svg and the table in docs/performance.md anew from bench/results.json."""
        write(Console())


def write(console: Console) -> None:
    """Plot and table."""
    plot(results.RESULTS, PLOT)
    console.print(f"written: {PLOT.relative_to(PROJECT)}")
    if PAGE.exists() and OPENING in PAGE.read_text(encoding="utf-8"):
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replace_between_markers(text, markdown_table(results.read())), encoding="utf-8")
        console.print(f"written: the table in {PAGE.relative_to(PROJECT)}")


def plot(source: Path, target: Path) -> None:
    """Draw in the environment of the peers, which has the library.

    Raises:
        UnavailableError: that cannot be installed.
    """
    target.parent.mkdir(exist_ok=True)
    command = [str(peers_python()), "-m", "bench.drawing.peers", str(source.resolve()), str(target.resolve())]
    subprocess.run(command, cwd=PROJECT, env=child_environment(), check=True)


def lines(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One tuple of texts for each contender, in the order of ``_HEADINGS``."""
    ours = [run for run in runs if run["name"] == "portalpulse" and run["workers"] == 1 and run["events_per_second"]]
    base = statistics.median(ours[0]["events_per_second"]) if ours else None
    return [_line(run, base) for run in runs]


def _line(run: dict[str, Any], base: float | None) -> tuple[str, ...]:
    rates = run["events_per_second"]
    title = run["name"] + (f" ({run['workers']} workers)" if run["workers"] > 1 else "")
    if not rates:
        return (title, f"{run['events']:,}", "failed", _failure(run), "", "", "")
    median = statistics.median(rates)
    since = statistics.median(run["seconds_since_start"])
    spread = f"{min(rates):,} to {max(rates):,}"
    if run["failures"]:
        spread += f"; failed: {_failure(run)}"
    ahead = f"{base / median:.1f} x" if base else ""
    return (title, f"{run['events']:,}", f"{median:,.0f}", spread, ahead, f"{since:.1f}", _verdict(run))


def _failure(run: dict[str, Any]) -> str:
    """The first sentence of the first failure."""
    return run["failures"][0].splitlines()[0] if run["failures"] else ""


def _verdict(run: dict[str, Any]) -> str:
    """Yes, or by how much it is wrong."""
    if run["exact_after_redelivery"] is None:
        return "not checked"
    if run["exact_after_redelivery"]:
        return "yes"
    found = list(zip(run["excess_after_redelivery"], run["wrong_tallies_after_redelivery"], run["redelivered"], strict=True))
    excess, wrong, redelivered = max(found, key=lambda one: (abs(one[0]), one[1]))
    if excess == 0:
        return f"no: {wrong:,} wrong tallies"
    return f"no: {excess:+,} events ({redelivered:,} came again)"


def console_table(runs: list[dict[str, Any]]) -> Table:
    """For the end of a run."""
    table = Table(title="Events a second from the first row seen to the last event counted")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for line in lines(runs):
        table.add_row(*line)
    return table


def markdown_table(document: dict[str, Any]) -> str:
    """The table of the page, with where and how it was taken."""
    machine = document["machine"]
    rows = [_HEADINGS, ("---", *["---:"] * (len(_HEADINGS) - 1)), *lines(document["runs"])]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    count = max((len(run["events_per_second"]) for run in document["runs"]), default=0)
    taken = f"Medians of {count} runs, taken in turns" if count > 1 else "One run"
    setups = "\n".join(f"- {_setup(run)}" for run in document["runs"])
    return (
        f"{text}\n\n"
        f"{taken}: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB,"
        f" {machine['system']}, Python {machine['python']}, all parts on this machine;"
        f" {document['message_bytes']} bytes a message, {document['partitions']} partitions. {document['taken_at']},"
        f" `{document['command']}`. The rate runs from the first row that another process sees to the last event counted,"
        " without the rows stored at that first moment. Slow contenders get fewer messages, in a topic made in the same way.\n\n"
        f"{setups}\n"
    )


def _setup(run: dict[str, Any]) -> str:
    title = run["name"] + (f" ({run['workers']} workers)" if run["workers"] > 1 else "")
    return f"{title}: {run['how']}"


def replace_between_markers(page: str, content: str) -> str:
    """The page with the new content between ``<!-- peers -->`` and ``<!-- /peers -->``.

    Raises:
        ConfigurationError: the page has no such pair of markers.
    """
    before, opening, rest = page.partition(OPENING)
    _, closing, after = rest.partition(CLOSING)
    if not opening or not closing:
        raise ConfigurationError(f"{PAGE.name} lacks {OPENING} and {CLOSING}.", remedy="Put both where the table belongs.")
    return f"{before}{OPENING}\n{content}{CLOSING}{after}"
