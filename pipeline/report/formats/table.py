"""A report as tables of a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

from rich import box
from rich.markup import escape
from rich.table import Table

from domain.indicators import Ratio
from domain.rounding import decimal, signed
from pipeline.report.explanation import contributions_of
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.style import Style

#: Procedures that an explanation lists one by one.
_LARGEST: Final = 10


def as_tables(report: Mapping[str, Any], *, choice: Choice, style: Style) -> list[Table]:
    """The indicators in one table; with a comparison, which needs more columns, a table for each.

    Raises:
        ConfigurationError: as ``Choice.rows``.
    """
    if report["compared_with"] is None:
        return [_table(report, choice=choice, style=style)]
    return [_table(report, choice=replace(choice, indicators=(name,)), style=style) for name in choice.indicators]


def _table(report: Mapping[str, Any], *, choice: Choice, style: Style) -> Table:
    """Rank of the first indicator, unit, and for each indicator its two counts, its rate and what changed."""
    title, before = style.period(report["period"]), report["compared_with"]
    if before is not None:
        title += f"\n{style.word('compared').lower()} {style.period(before)}"
    note = style.return_note(report, choice.indicators)
    table = Table(
        title=title,
        caption=note or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(style.word("rank"), justify="right", no_wrap=True)
    table.add_column(style.word("code"), no_wrap=True)
    table.add_column(style.word("unit"), overflow="fold")
    compared = report["compared_with"] is not None
    for name in choice.indicators:
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("%", justify="right", no_wrap=True)
        if compared:
            table.add_column(style.word("before_short"), justify="right", no_wrap=True)
            table.add_column(f"± {style.word('points')}", justify="right", no_wrap=True)
    for row in choice.rows(report):
        rank = row["indicators"][choice.indicators[0]]["rank"]
        code = row["code"] if row["scope"] == "agency" else ""
        cells = ["" if rank is None else str(rank), code, escape(style.short_name(row))]
        for name in choice.indicators:
            figure = row["indicators"][name]
            cells.append(f"{style.count(figure['numerator'])}/{style.count(figure['denominator'])}")
            cells.append(style.rate(figure))
            if compared:
                cells += [style.rate(figure["before"]), style.points(figure)]
        table.add_row(*cells, style=None if row["scope"] == "agency" else "bold")
    return table


def explanation_table(explanation: Mapping[str, Any], *, style: Style) -> Table:
    """The procedures that contribute most to the change of a rate, the largest first, and one line for all others."""
    parts = contributions_of(explanation)
    whole = f"{explanation['indicator']} {explanation['unit']}"
    if not parts:
        return Table(title=f"{whole}: {style.word('no_change')}", box=None)
    total = sum((part.change for part in parts), Fraction(0))
    table = Table(
        title=f"{whole}: {_points(total, style)} {style.word('points')}",
        caption=style.return_note(explanation, (explanation["indicator"],)) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    table.add_column(style.word("procedure"))
    for key in ("before_short_counts", "after_short_counts", "contribution"):
        table.add_column(style.word(key), justify="right", no_wrap=True)
    shown, rest = parts[:_LARGEST], parts[_LARGEST:]
    for part in shown:
        table.add_row(escape(part.group), _counts(part.before, style), _counts(part.after, style), _points(part.change, style))
    if rest:
        nothing = Ratio(0, 0)
        before, after = (sum((getattr(part, when) for part in rest), nothing) for when in ("before", "after"))
        label = f"{style.word('others')} ({len(rest)})"
        change = _points(sum((part.change for part in rest), Fraction(0)), style)
        table.add_row(label, _counts(before, style), _counts(after, style), change)
    return table


def _counts(ratio: Ratio, style: Style) -> str:
    return f"{style.count(ratio.numerator)}/{style.count(ratio.denominator)}"


def _points(change: Fraction, style: Style) -> str:
    return style.number(signed(decimal(100 * change, decimals=style.decimals)))


def excluded_table(report: Mapping[str, Any]) -> Table:
    """The excluded dossiers that would have changed the figures, for people."""
    table = Table(title=f"Hồ sơ bị loại khỏi thống kê (excluded): {len(report['excluded'])}")
    for title in ("Mã hồ sơ", "Lẽ ra được tính (would count)", "Lý do", "Người quyết định", "Thời điểm"):
        table.add_column(title, overflow="fold")
    for dossier in report["excluded"]:
        places = [f"{each['name']} {each['unit']} {each['day']}" for each in dossier["milestones"]]
        cells = (dossier["dossier_code"], "\n".join(places), dossier["reason"], dossier["name"], dossier["decided_at"][:19])
        table.add_row(*(escape(cell or "—") for cell in cells))
    return table
