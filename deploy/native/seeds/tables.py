"""The tables that a run of all documents prints: one for each document, and the summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from deploy.native.phases import verdict_panel
from deploy.native.seeds.figures import Figure, Verdict, others, passed
from producers.portals.documents import Document

_MARKS: Final = {
    Verdict.RIGHT: "[green]✓[/green]",
    Verdict.HOLDS: "[green]✓ bound[/green]",
    Verdict.WRONG: "[bold red]✗[/bold red]",
    Verdict.CONTRADICTION: "[yellow]contradiction[/yellow]",
    Verdict.OPEN: "[yellow]open bound[/yellow]",
}


def table_of(document: Document, figures: Sequence[Figure]) -> Table:
    """A table of every figure of a document beside ours. Invented counts are listed only when they are wrong."""
    shown = [figure for figure in figures if figure.listed or figure.verdict.failed]
    published = "" if document.document.published is None else f", {document.document.published:%d/%m/%Y}"
    table = Table(
        title=f"{document.document.publisher}{published}: {document.title}",
        caption=_caption(document, len(figures) - len(shown)),
        caption_justify="left",
        show_lines=False,
    )
    table.add_column("Printed")
    table.add_column("What it is")
    table.add_column("Counted", justify="right")
    table.add_column("Ours", justify="right")
    table.add_column("Verdict")
    for figure in shown:
        reason = f" {escape(figure.reason)}" if figure.reason else ""
        table.add_row(
            escape(figure.printed) or "[dim]not printed[/dim]",
            escape(figure.definition),
            figure.counted,
            figure.ours,
            f"{_MARKS[figure.verdict]}{reason}",
        )
    return table


def summary(results: Sequence[tuple[Document, Sequence[Figure]]], *, seconds: float) -> Panel:
    """How many figures are right, everything that is wrong, and why some cannot be right."""
    lines = []
    for document, figures in results:
        printed = [figure for figure in figures if figure.printed and figure.verdict in {Verdict.RIGHT, Verdict.WRONG}]
        right = sum(not figure.verdict.failed for figure in printed)
        bounds = sum(figure.verdict is Verdict.HOLDS for figure in figures)
        further = [figure for figure in figures if not figure.printed]
        exact = sum(not figure.verdict.failed for figure in further)
        lines.append(
            f"{document.identifier}: {right} of {len(printed)} printed figures right, {bounds} bounds hold, "
            f"{exact} of {len(further)} further counts exact"
        )
    for document, figures in results:
        lines += [
            f"[red]✗ {document.identifier}: {escape(figure.printed or figure.definition)}: "
            f"{figure.counted} = {figure.ours}, {escape(figure.reason)}[/red]"
            for figure in figures
            if figure.verdict.failed
        ]
        lines += [
            f"[yellow]{document.identifier}: “{escape(figure.printed)}” is not compared: {escape(figure.reason)}[/yellow]"
            for figure in figures
            if figure.verdict in {Verdict.CONTRADICTION, Verdict.OPEN}
        ]
    good = bool(results) and all(passed(figures) for _, figures in results)
    return verdict_panel(lines, passed=good, seconds=seconds)


def _caption(document: Document, hidden: int) -> str:
    parts = []
    if hidden:
        parts.append(
            f"{hidden} invented counts, which make the sums close, are exact, too. They say nothing about a real agency."
        )
    if number := others(document):
        parts.append(f"Numbers of the document that are not figures (dates, levels, addresses): {number}.")
    return " ".join(parts)
