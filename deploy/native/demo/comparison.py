"""What the demo shows at its end: the whole ranking beside the source's printed values, and the verdict."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table

from deploy.native.demo.figures import AlertVerdict, ComparisonRow, Scenario, all_hold, names, vietnamese
from domain.agencies import AgencyRegistry

CAPTION = (
    "Only rows with a printed value are figures of the source. The others are invented so that its sums close, and say"
    " nothing about the real agency."
)


def ranking(lines: tuple[ComparisonRow, ...]) -> Table:
    """The whole ranking, with the source's printed value and whether the figure is exactly right."""
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
    blocks = {agency.code: agency.block for agency in AgencyRegistry.packaged()}
    block_names = {"ministry": "bộ, ngành", "province": "địa phương"}
    pooled = {"VN": "Cả nước", "ministry": "Khối bộ, ngành", "province": "Khối địa phương"}
    rank = 0
    for line in lines:
        fact = line.fact
        agency = fact.scope == "agency"
        rank += agency
        counts = "—" if line.numerator is None else f"{line.numerator:,} / {line.denominator:,}".replace(",", ".")
        table.add_row(
            str(rank) if agency else "",
            fact.code if agency else "",
            fact.name if agency else pooled[fact.code],
            block_names.get(blocks.get(fact.code, ""), "") if agency else "",
            counts,
            vietnamese(line.percent),
            "" if fact.printed is None else vietnamese(fact.printed),
            "[green]✓[/green]" if line.holds else "[bold red]✗[/bold red]",
            style="" if fact.printed is not None else "dim",
        )
    return table


def verdict_panel(lines: tuple[ComparisonRow, ...], alerts: AlertVerdict, *, scenario: Scenario, seconds: float) -> Panel:
    """The verdict, with everything that does not hold by name."""
    known = names(scenario)
    right = sum(line.holds for line in lines)
    printed = [line for line in lines if line.fact.printed is not None]
    below = len(scenario.below_threshold)
    others = f"{len(alerts.unexpected)} others" if alerts.unexpected else "no other"
    right_printed = sum(line.holds for line in printed)
    said = [
        f"{right} of {len(lines)} figures exact; of those that the source prints, {right_printed} of {len(printed)}",
        f"{below - len(alerts.missing)} of {below} agencies below 5 % delivered by Alertmanager, and {others}",
    ]
    said += [
        f"[red]✗ {line.fact.name or line.fact.code}: {line.numerator} / {line.denominator}, "
        f"expected {line.fact.numerator} / {line.fact.denominator}[/red]"
        for line in lines
        if not line.holds
    ]
    said += [f"[red]✗ no alert for {code} {known.get(code, '')}[/red]" for code in alerts.missing]
    said += [f"[red]✗ alert for {code} {known.get(code, '')}, which is not below 5 %[/red]" for code in alerts.unexpected]
    held = all_hold(lines) and alerts.holds
    return Panel(
        "\n".join(said),
        title="[bold green]It holds[/bold green]" if held else "[bold red]It does not hold[/bold red]",
        subtitle=f"{seconds:.0f} s in all",
        border_style="green" if held else "red",
        title_align="left",
    )
