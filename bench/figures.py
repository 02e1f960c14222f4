"""The comparison as a table (in the console and in docs/performance.md) and as a plot, both from results.json alone."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from bench import results
from bench.environment import child_environment, peers_python
from deploy.native.programs import PROJECT
from domain.errors import ConfigurationError

PAGE = PROJECT / "docs" / "performance.md"
PLOT = PROJECT / "docs" / "performance-peers.svg"
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
        """Rewrite docs/performance-peers.svg and the tables in docs/performance.md from bench/results.json."""
        write(Console())


def write(console: Console) -> None:
    """Plot and table."""
    plot(results.RESULTS, PLOT)
    console.print(f"written: {PLOT.relative_to(PROJECT)}")
    document = results.read()
    page = PAGE.read_text(encoding="utf-8")
    for marker, content in contents(document).items():
        page = replace_between_markers(page, marker, content)
    PAGE.write_text(page, encoding="utf-8")
    console.print(f"written: the tables in {PAGE.relative_to(PROJECT)}")


def contents(document: dict[str, Any]) -> dict[str, str]:
    """Every table of the page whose figures are known, by its marker."""
    found = {}
    if document.get("runs"):
        found["peers"] = markdown_table(document)
    if "latency" in document:
        found["latency"] = _latency_table(document["latency"])
    if "soak" in document:
        found["soak"] = _soak_text(document["soak"])
    if backfills := [document[name] for name in sorted(document) if name.startswith("backfill")]:
        found["backfill"] = "".join(_backfill_text(one) for one in backfills)
    if dossiers := [document[name] for name in sorted(document) if name.startswith("dossiers_onto_")]:
        found["dossiers"] = _dossiers_text(sorted(dossiers, key=lambda one: one["onto"]))
    if "report" in document:
        found["report"] = _report_table(document["report"])
    if "outage" in document:
        found["outage"] = _outage_text(document["outage"])
    if "sizes" in document:
        found["sizes"] = _sizes_tables(document["sizes"])
    return found


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latency_table(found: dict[str, Any]) -> str:
    """Freshness at a steady rate, and what the worker and the server use."""
    headings = (
        "messages/s",
        "seconds",
        "first figure, p50 / p95 / p99 / most ms",
        "exact figure, p50 / p95 / p99 / most ms",
        "worker cores",
        "ClickHouse cores",
        "worker MB, start / end / most",
    )
    return _markdown(
        headings,
        (
            (
                f"{run['rate']:,}",
                f"{run['seconds']:.0f}",
                *(
                    "-" if run[name] is None else " / ".join(f"{value:,}" for value in run[name].values())
                    for name in ("first", "exact")
                ),
                f"{run['worker_cores']:.3f}",
                f"{run['server_cores']:.3f}",
                f"{run['memory_mb_start']} / {run['memory_mb_end']} / {run['memory_mb_most']}",
            )
            for run in found["runs"]
        ),
    )


def _soak_text(found: dict[str, Any]) -> str:
    quarters = ", ".join(f"{rate:,}" for rate in found["quarters"])
    return (
        f"{found['events']:,} events: {found['events_per_second']:,} events/s, {'exact' if found['exact'] else 'NOT exact'}; "
        f"by quarters {quarters} (last to first {found['last_to_first']:.2f}); worker at most {found['memory_mb_most']} MB.\n"
    )


def _outage_text(found: dict[str, Any]) -> str:
    """How a backlog drains after an outage of ClickHouse."""
    normal = ", ".join(f"{speed:,}" for speed in found["normal_events_per_second"])
    return (
        f"{found['minutes']:g} minutes at {found['rate']:,} messages a second: {found['backlog']:,} waiting in Kafka at its "
        f"return, {found['committed_meanwhile']:,} committed meanwhile; first row after "
        f"{found['resumed_after_seconds']:g} s, drained in "
        f"{found['drained_seconds']:g} s at {found['drained_events_per_second']:,} events/s. The same messages without an "
        f"outage: {normal} events/s (share of the faster {found['share_of_normal']:.0%}). "
        f"{'Every tally exact' if found['exact'] else 'Tallies wrong'}; worker at most {found['memory_mb_most']} MB.\n"
    )


def _backfill_text(found: dict[str, Any]) -> str:
    if not found["onto"]:
        order, scattered = (statistics.median(found[kind]) for kind in ("in_order", "scattered"))
        return (
            f"- {found['events']:,} events: in order {order:,.0f} events/s, scattered {scattered:,.0f} events/s "
            f"({scattered / order:.0%}); medians of {len(found['in_order'])}, every tally exact.\n"
        )
    return (
        f"- {found['events']:,} events scattered onto {found['onto']:,}: stored at {found['stored_events_per_second']:,}"
        f" events/s, all tallied after {found['tallied_seconds']:,} s; age of the newest live tally meanwhile"
        f" p50 {found['live_age_p50_s']} s, p99 {found['live_age_p99_s']} s; {found['drifting_minutes']} minutes differ.\n"
    )


def _dossiers_text(found: Sequence[dict[str, Any]]) -> str:
    """Speed, processor time and memory of realistic feeds, and what counting when asked takes."""
    headings = (
        "feed",
        "onto messages",
        "runs",
        "messages/s until exact in minutes",
        "messages/s until acknowledged",
        "worker µs a message",
        "ClickHouse µs a message",
        "worker at most MB",
    )

    def median(runs: list[dict[str, Any]], name: str) -> float:
        return float(statistics.median(run[name] for run in runs))

    rows = [
        (
            kind.replace("_", " "),
            f"{one['onto']:,}",
            str(len(one[kind])),
            *(f"{median(one[kind], name):,.0f}" for name in ("per_second_exact", "per_second_acknowledged")),
            *(f"{median(one[kind], name):.1f}" for name in ("worker_microseconds", "server_microseconds")),
            f"{max(run['worker_peak_mb'] for run in one[kind]):,}",
        )
        for one in found
        for kind in ("in_order", "delivered_again", "scattered")
        if one[kind]
    ]
    return _markdown(headings, rows) + "".join(f"\n{_query_time_text(one)}\n" for one in found if one["peer"])


def _report_table(found: dict[str, Any]) -> str:
    """How long reports take."""
    machine = found["machine"]
    rows = (
        (name, *(f"{each[part]:,.0f}" for part in ("median_ms", "least_ms", "most_ms")))
        for name, each in found["reports"].items()
    )
    return _markdown(("report", "median ms", "least", "most"), rows) + (
        f"\n{found['events']:,} messages; each report {found['runs']} times, in turns; {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB. {found['taken_at']}.\n"
    )


def _query_time_text(found: dict[str, Any]) -> str:
    """What the peer took: plain SQL that counts the dossiers when asked."""
    stored = f"With {found['onto']:,} other messages stored" if found["onto"] else "With the feed in order stored"
    answered = [one for one in found["peer"] if "seconds" in one]
    if not answered:
        return f"{stored}, plain SQL does not count the dossiers: {found['peer'][0]['failed']}"
    seconds, tallies = (statistics.median(one[name] for one in answered) for name in ("seconds", "tally_seconds"))
    exact = "exact" if all(one["exact"] for one in answered) else "NOT exact"
    return (
        f"{stored}, plain SQL counts the dossiers of every agency and day in {seconds:.1f} s ({exact}); "
        f"reading the tallies takes {tallies * 1000:.0f} ms."
    )


def _sizes_tables(found: dict[str, Any]) -> str:
    """Milliseconds of each operation against sizes, and throughput against partitions."""
    operations = list(found["storage"][0]["milliseconds"])
    base = found["base"]
    return (
        _markdown(
            ("varied", *(name.replace("_", " ") for name in operations)),
            (
                (f"{one[one['varied']]:,} {one['varied']}", *(f"{one['milliseconds'][name]:,.0f}" for name in operations))
                for one in found["storage"]
            ),
        )
        + f"\nMilliseconds, medians of five; what is not varied: {base['agencies']} agencies, {base['procedures']:,} procedures, "
        f"{base['rows']:,} events in the working hours of a year and {base['live_rows']:,} in the last minute.\n\n"
        + _markdown(
            ("partitions", "events/s", "exact"),
            (
                (f"{one['partitions']}", f"{one['events_per_second']:,}", "yes" if one["exact"] else "no")
                for one in found["partitions"]
            ),
        )
    )


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
    return f"no: {excess:+,} events ({redelivered:,} redelivered)"


def console_table(runs: list[dict[str, Any]]) -> Table:
    """The table at the end of a run."""
    table = Table(title="Events a second from the first row seen to the last event counted")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for line in lines(runs):
        table.add_row(*line)
    return table


def markdown_table(document: dict[str, Any]) -> str:
    """The table of the page, with the machine and the method."""
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


def replace_between_markers(page: str, marker: str, content: str) -> str:
    """The page with the new content between ``<!-- marker -->`` and ``<!-- /marker -->``.

    Raises:
        ConfigurationError: the page has no such pair of markers.
    """
    first, last = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, opening, rest = page.partition(first)
    _, closing, after = rest.partition(last)
    if not opening or not closing:
        raise ConfigurationError(f"{PAGE.name} lacks {first} and {last}.", remedy="Put both where the table belongs.")
    return f"{before}{first}\n{content}{last}{after}"
