"""``portalpulse report --verify``: lets a running process recompute a report, shard by shard, and prints what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipeline.cli.progress import progress_bar
from pipeline.cli.remote import Process
from pipeline.cli.remote_report import ask, fetch_report
from pipeline.report.completeness import NotFinal
from pipeline.report.request import PERIOD_PARAMETERS
from pipeline.report.verification.differences import Difference, differences, integers_of
from pipeline.report.verification.recomputed import Recomputed

#: A shard reads the codes of all messages and judges some of their dossiers.
_STEP_SECONDS: Final = 3_600.0
#: Differences that are listed.
_SHOWN: Final = 50
_PATH: Final = "/api/v1/report/verification"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification.

    Attributes:
        wrong: figures that differ from the recomputed ones.
        moved: figures that differ, but changed while figures were recomputed, so that they may be right.
        figures: integers that were compared.
        dossiers, messages: numbers of dossiers and messages from which figures were recomputed.
        first, last: days of the periods.
    """

    wrong: tuple[Difference, ...]
    moved: tuple[Difference, ...]
    figures: int
    dossiers: int
    messages: int
    first: str
    last: str


def verified(process: Process, parameters: Mapping[str, str], report: Mapping[str, Any], *, wait: bool) -> Verdict:
    """Recompute a report and compare it, with a progress bar.

    The report is asked for again afterwards: messages that come while figures are recomputed must not look like faults.

    Args:
        process: a worker or exporter.
        parameters: those of the report.
        report: what ``process`` answered to them.
        wait: whether the second report waits until every message is counted.

    Raises:
        ConfigurationError: the process refuses a parameter.
        UnavailableError: it does not answer, or its storage does not.
    """
    parameters = _pinned(parameters, report)
    periods = [period for period in (report["period"], report["compared_with"]) if period is not None]
    total = Recomputed.nothing(len(periods))
    with progress_bar() as bar:
        count = int(ask(process, f"{_PATH}/shards", parameters, timeout=_STEP_SECONDS)["shards"])
        bar.begin("recomputing dossiers", count)
        for number in range(count):
            part = {**parameters, "number": str(number), "of": str(count)}
            total.add(Recomputed.from_dict(ask(process, _PATH, part, timeout=_STEP_SECONDS)))
            bar.advance(1)
    rows = ask(process, _PATH, parameters, method="POST", timeout=_STEP_SECONDS, json=total.as_dict())["rows"]
    later = fetch_report(process, parameters, wait=wait)
    due = integers_of(rows)
    reasons = {reason["code"] for reason in later["completeness"]["reasons"]}
    found = differences(
        integers_of([*report["rows"], *report["parts"]]),
        integers_of([*later["rows"], *later["parts"]]),
        due,
        counted=reasons <= {NotFinal.PERIOD_NOT_OVER},
    )
    return Verdict(
        tuple(each for each in found if not each.moved),
        tuple(each for each in found if each.moved),
        len(due),
        total.dossiers,
        total.messages,
        min(period["from"] for period in periods),
        max(period["to"] for period in periods),
    )


def _pinned(parameters: Mapping[str, str], report: Mapping[str, Any]) -> dict[str, str]:
    """The parameters with the first and last day of the report in place of a period such as ``last``, which moves with today."""
    period, compared = report["period"], report["compared_with"]
    others = {name: text for name, text in parameters.items() if name not in PERIOD_PARAMETERS}
    days = {"from": period["from"], "to": period["to"], "units": report["units"]}
    return others | days | ({} if compared is None else {"compare": f"{compared['from']}..{compared['to']}"})


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print that all figures are right, or the figures that differ and what to do."""
    read = f"{verdict.messages:,} stored messages of {verdict.dossiers:,} dossiers"
    if not verdict.wrong and not verdict.moved:
        console.print(f"Verified: all {verdict.figures:,} figures are those of {read}.", highlight=False, soft_wrap=True)
        return
    if verdict.wrong:
        console.print(_table(verdict.wrong, f"Figures that are not those of {read}"))
        _more(verdict.wrong, console)
        remedy = f"portalpulse audit --from {verdict.first} --to {verdict.last} --repair"
        console.print(f"{len(verdict.wrong):,} figures are wrong. Correct them: `{remedy}`.", highlight=False, soft_wrap=True)
    if verdict.moved:
        console.print(_table(verdict.moved, "Figures that changed while they were recomputed"))
        _more(verdict.moved, console)
        console.print(
            f"{len(verdict.moved):,} figures changed meanwhile, or not every message was counted. Run it again with --wait.",
            highlight=False,
            soft_wrap=True,
        )


def _table(found: tuple[Difference, ...], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("unit", "figure"):
        table.add_column(name, overflow="fold")
    for name in ("report", "recomputed"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found[:_SHOWN]:
        table.add_row(each.code, each.figure, f"{each.reported:,}", f"{each.recomputed:,}")
    return table


def _more(found: tuple[Difference, ...], console: Console) -> None:
    if len(found) > _SHOWN:
        console.print(f"... and {len(found) - _SHOWN:,} more.", highlight=False)
