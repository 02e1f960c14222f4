"""A report as tables for a terminal of 80 columns."""

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
from pipeline.report.formats.groups import cells, groups_of, has_indicators, heading, is_part, note, place, with_parts
from pipeline.report.formats.style import Style

#: The look of a table that needs its columns.
_LOOK: Final[Mapping[str, Any]] = {
    "box": box.SIMPLE_HEAD,
    "padding": (0, 1),
    "pad_edge": False,
    "collapse_padding": True,
}
#: Procedures that an explanation lists one by one.
_LARGEST: Final = 10


def as_tables(report: Mapping[str, Any], *, choice: Choice, style: Style) -> list[Table]:
    """The tables of a report: one for all indicators, or with a comparison one for each; and one for each group.

    Raises:
        ConfigurationError: as ``Choice.rows``.
    """
    groups = [_group_table(report, group, choice=choice, style=style) for group in groups_of(report)]
    if not has_indicators(report):
        return groups
    if report["compared_with"] is None:
        return [_table(report, choice=choice, style=style), *groups]
    return [*(_table(report, choice=replace(choice, indicators=(name,)), style=style) for name in choice.indicators), *groups]


def _group_table(report: Mapping[str, Any], group: str, *, choice: Choice, style: Style) -> Table:
    """The table of a group: for each row a line for each figure, with count, denominator, rate, and change."""
    title, before = f"{heading(group, style)}\n{style.period(report['period'])}", report["compared_with"]
    if before is not None:
        title += f"; {style.word('compared').lower()} {style.period(before)}"
    table = Table(title=title, caption=note(group, style) or None, caption_justify="left", **_LOOK)
    table.add_column(style.word("code"), overflow="fold")
    table.add_column(style.word("unit"), overflow="fold")
    table.add_column(style.word("figure"), overflow="fold")
    for key in ("dossiers", "of"):
        table.add_column(style.word(key), justify="right", no_wrap=True)
    table.add_column("%", justify="right", overflow="fold")
    if before is not None:
        table.add_column(style.word("before_short"), justify="right", no_wrap=True)
        table.add_column(f"± {style.word('points')}", justify="right", no_wrap=True)
    for row in with_parts(report, choice):
        names = [place(row), "" if is_part(row) else escape(style.short_name(row))]
        for cell in cells(row, group):
            shown = [*names, escape(style.named(cell.figure.name_vi, cell.figure.name_en))]
            shown += [style.count(cell.ratio.numerator), style.count(cell.ratio.denominator) if cell.figure.denominator else ""]
            shown.append(cell.rate(style))
            if cell.before is not None:
                earlier = cell.before.rate(style) if cell.figure.denominator else style.count(cell.before.ratio.numerator)
                shown += [earlier, cell.points(style)]
            table.add_row(*shown, style="bold" if row["scope"] in {"block", "nation"} else None)
            names = ["", ""]
    return table


def _table(report: Mapping[str, Any], *, choice: Choice, style: Style) -> Table:
    """The table of indicators: rank by the first indicator, unit, and for each indicator two counts, rate, and change."""
    title, before = style.period(report["period"]), report["compared_with"]
    if before is not None:
        title += f"\n{style.word('compared').lower()} {style.period(before)}"
    returned = style.return_note(report, choice.indicators)
    table = Table(
        title=title,
        caption=returned or None,
        caption_justify="left",
        **_LOOK,
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
    for row in with_parts(report, choice):
        rank = None if is_part(row) else row["indicators"][choice.indicators[0]]["rank"]
        # The codes of parts are longer than those of units.
        names = ["", escape(row["code"])] if is_part(row) else [place(row), escape(style.short_name(row))]
        shown = ["" if rank is None else str(rank), *names]
        for name in choice.indicators:
            figure = row["indicators"].get(name)  # what is offered is not divided
            if figure is None:
                shown += [""] * (4 if compared else 2)
                continue
            shown.append(f"{style.count(figure['numerator'])}/{style.count(figure['denominator'])}")
            shown.append(style.rate(figure))
            if compared:
                shown += [style.rate(figure["before"]), style.points(figure)]
        table.add_row(*shown, style="bold" if row["scope"] in {"block", "nation"} else None)
    return table


def explanation_tables(explanation: Mapping[str, Any], *, style: Style) -> list[Table]:
    """The tables of an explanation, for procedures and for channels: the largest contributions, and one line for the rest."""
    return [_explanation_table(explanation, by=by, style=style) for by in ("procedure", "channel")]


def _explanation_table(explanation: Mapping[str, Any], *, by: str, style: Style) -> Table:
    parts = contributions_of(explanation, by=by)
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
    table.add_column(style.word(by))
    for key in ("before_short_counts", "after_short_counts", "contribution"):
        table.add_column(style.word(key), justify="right", no_wrap=True)
    shown, rest = parts[:_LARGEST], parts[_LARGEST:]
    for part in shown:
        name = part.group if by == "procedure" else style.word(part.group)
        table.add_row(escape(name), _counts(part.before, style), _counts(part.after, style), _points(part.change, style))
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
    """The table of excluded dossiers that would count in the report."""
    table = Table(title=f"Hồ sơ bị loại khỏi thống kê (excluded): {len(report['excluded'])}")
    for title in ("Mã hồ sơ", "Lẽ ra được tính (would count)", "Lý do", "Người quyết định", "Thời điểm"):
        table.add_column(title, overflow="fold")
    for dossier in report["excluded"]:
        places = [f"{each['name']} {each['unit']} {each['day']}" for each in dossier["milestones"]]
        cells = (dossier["dossier_code"], "\n".join(places), dossier["reason"], dossier["name"], dossier["decided_at"][:19])
        table.add_row(*(escape(cell or "—") for cell in cells))
    return table
