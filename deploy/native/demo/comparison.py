"""What the demo prints at its end: the whole ranking beside the printed values of the source, and the verdict."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table

from deploy.native.demo.figures import AlertComparison, ComparisonRow, Expectations, SimulatedFigures, all_passed
from deploy.native.phases import verdict_panel
from domain.rounding import vietnamese
from producers.portals.truth_comparison import shortened

CAPTION = (
    "Only rows with a printed value are figures of the source. The others are invented so that its sums close, and say"
    " nothing about the real agency."
)


def ranking(rows: tuple[ComparisonRow, ...]) -> Table:
    """The whole ranking, with the printed value of the source and whether the figure is exactly right."""
    table = Table(
        title="Hồ sơ trực tuyến toàn trình, 01/01/2024 đến 20/08/2024",
        caption=CAPTION,
        caption_justify="left",
    )
    table.add_column("#", justify="right")
    for heading in ("Mã", "Cơ quan", "Khối"):
        table.add_column(heading)
    for heading in ("Toàn trình / tổng", "Tỷ lệ", "Nguồn in"):
        table.add_column(heading, justify="right")
    table.add_column("")
    blocks = {row.check.code: row.name.removeprefix("Khối ") for row in rows if row.check.scope == "block"}
    rank = 0
    for row in rows:
        check, found = row.check, row.found
        is_agency = check.scope == "agency"
        rank += is_agency
        table.add_row(
            str(rank) if is_agency else "",
            check.code if is_agency else "",
            row.name,
            blocks.get(check.block, "") if is_agency else "",
            "—" if found is None else f"{vietnamese(str(found.numerator))} / {vietnamese(str(found.denominator))}",
            _percentage(row.percent, missing="—"),
            _percentage(check.printed, missing=""),
            "[green]✓[/green]" if row.passed else "[bold red]✗[/bold red]",
            style="" if check.printed is not None else "dim",
        )
    return table


def result_panel(
    rows: tuple[ComparisonRow, ...],
    alerts: AlertComparison,
    *,
    expectations: Expectations,
    simulated: SimulatedFigures,
    seconds: float,
) -> Panel:
    """The verdict of the demo, with the name of everything that is wrong."""
    names = expectations.names
    right = sum(row.passed for row in rows)
    printed = [row for row in rows if row.check.printed is not None]
    below = len(expectations.below_threshold)
    others = f"{len(alerts.unexpected)} others" if alerts.unexpected else "no other"
    right_printed = sum(row.passed for row in printed)
    lines = [
        f"{right} of {len(rows)} figures exact; of those that the source prints, {right_printed} of {len(printed)}",
        f"{below - len(alerts.missing)} of {below} agencies below 5 % delivered by Alertmanager, and {others}",
    ]
    lines += [
        f"[red]✗ {row.name}: {'no figure' if row.found is None else f'{row.found.numerator} / {row.found.denominator}'},"
        f" expected {row.check.expected.numerator} / {row.check.expected.denominator}[/red]"
        for row in rows
        if not row.passed
    ]
    lines += (
        [f"{simulated.dossiers:,} simulated dossiers with real faults: I1, I5 right in {simulated.periods} periods"]
        if simulated.passed
        else [f"[red]✗ {difference}[/red]" for difference in shortened(simulated.differences)]
    )
    lines += [f"[red]✗ no alert for {code} {names.get(code, '')}[/red]" for code in alerts.missing]
    lines += [f"[red]✗ alert for {code} {names.get(code, '')}, which is not below 5 %[/red]" for code in alerts.unexpected]
    passed = all_passed(rows) and alerts.passed and simulated.passed
    return verdict_panel(lines, passed=passed, seconds=seconds)


def _percentage(value: str | None, *, missing: str) -> str:
    return missing if value is None else f"{vietnamese(value)} %"
