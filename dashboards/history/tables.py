"""The tables that ``alerts year`` prints: every alert with its errors, the drops by size, and the faults of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich import box
from rich.table import Table

from dashboards.history.detection import DOSSIERS, FoundDrop, ToldFault, median, must_be_told
from dashboards.history.figures import Figures
from dashboards.history.verdict import Span, Verdict, Wrong

_SIZES: Final = ((20, "20 points or more"), (10, "10 to 20 points"), (5, "5 to 10 points"), (0, "less than 5 points"))
#: Wrong alerts that are listed by name.
_LISTED: Final = 20


def table(title: str, columns: Sequence[str], *, texts: int = 1) -> Table:
    """A table whose text is also valid Markdown; the first ``texts`` columns are texts, the others numbers."""
    made = Table(title=title, title_justify="left", box=box.MARKDOWN)
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < texts else "right", no_wrap=True)
    return made


def alerts_table(spans: Sequence[Span], verdict: Verdict, figures: Figures) -> Table:
    """A table of all alerts (on rates: by window and rung): how often each began and ended, how long it fired, its errors."""
    made = table("Alerts", ["Alert", "Began", "Ended", "Days fired", "False alerts", "False ends", "Missed"])
    steps_a_day = 86_400 / figures.grid.step.total_seconds()
    wrong = [_count(found) for found in (verdict.false_alerts, verdict.false_ends, verdict.missed)]
    names = sorted({_name(span) for span in spans} | {name for counts in wrong for name in counts})
    for name in names:
        of = [span for span in spans if _name(span) == name]
        began, ended = sum(span.first is not None for span in of), sum(span.end is not None for span in of)
        days = sum(span.steps for span in of) / steps_a_day
        made.add_row(name, f"{began:,}", f"{ended:,}", f"{days:,.1f}", *(str(counts.get(name, 0)) for counts in wrong))
    return made


def _name(of: Span | Wrong) -> str:
    return " ".join(filter(None, (of.key.name, of.key.label("window"), of.key.label("rung"))))


def _count(wrong: Iterable[Wrong]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in wrong:
        found[_name(each)] = found.get(_name(each), 0) + 1
    return found


def drops_table(drops: Sequence[FoundDrop]) -> Table:
    """A table of injected drops by the agency's dossiers and the drop's length, with their size in the exact counts."""
    columns = [
        "Dossiers a week",
        "Days",
        "In seven days",
        "Injected",
        "Must be found",
        "Found",
        "Hours (median)",
        "Hours (longest)",
    ]
    made = table("Drops", columns, texts=3)
    lengths: tuple[tuple[str, Callable[[int], bool]], ...] = (
        ("7 and more", lambda days: days >= 7),
        ("1 to 3", lambda days: days < 7),
    )
    for large in (True, False):
        for length, holds in lengths:
            for smallest, size in _SIZES:
                of = [
                    each
                    for each in drops
                    if (each.dossiers >= DOSSIERS) == large and holds(each.drop.days) and _size(each.hundredths) == smallest
                ]
                if not of:
                    continue
                hours = [each.hours for each in of if each.hours is not None]
                middle = median(hours)
                made.add_row(
                    f"{DOSSIERS:,} or more" if large else f"fewer than {DOSSIERS:,}",
                    length,
                    size,
                    str(len(of)),
                    str(sum(each.due for each in of)),
                    str(len(hours)),
                    "" if middle is None else f"{middle:,.0f}",
                    f"{max(hours):,.0f}" if hours else "",
                )
    return made


def _size(hundredths: int) -> int:
    return next(smallest for smallest, _ in _SIZES if hundredths >= smallest * 100 or smallest == 0)


def faults_table(faults: Sequence[ToldFault], *, wait: int, figures: Figures) -> Table:
    """A table of the injected faults of the pipeline, and whether an alert told operations."""
    made = table("Faults of the pipeline", ["Fault", "Injected", "Must be told", "Told", "Hours (longest)"])
    hour = 3_600 / figures.grid.step.total_seconds()
    for kind in sorted({each.fault.fault for each in faults}):
        of = [each for each in faults if each.fault.fault is kind]
        steps = [each.steps for each in of if each.steps is not None]
        made.add_row(
            kind.value,
            str(len(of)),
            str(sum(must_be_told(each.fault, wait=wait) for each in of)),
            str(len(steps)),
            f"{max(steps) / hour:,.1f}" if steps else "",
        )
    return made


def wrong_lines(verdict: Verdict, figures: Figures) -> list[str]:
    """One line for each of the first errors of the verdict."""
    kinds = (("false alert", verdict.false_alerts), ("false end", verdict.false_ends), ("missed", verdict.missed))
    lines = [
        f"{kind}: {figures.grid.at(each.at):%Y-%m-%d %H:%M} UTC  {each.key.name} "
        + " ".join(f"{name}={value}" for name, value in each.key.labels)
        for kind, found in kinds
        for each in found
    ]
    more = [f"and {len(lines) - _LISTED:,} more"] if len(lines) > _LISTED else []
    unknown = [f"not judged: {name} ({number:,} times)" for name, number in sorted(verdict.not_judged.items())]
    return lines[:_LISTED] + more + unknown
