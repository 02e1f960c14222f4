"""What a message says about some alerts: firing ones first, ended ones separately, one entry per agency on its worst window.

Pure: alerts in, sentences out. ``messages`` gives them the form of a mail or a chat.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from dashboards.notify.alerts import Alert, Figures
from dashboards.notify.words import Words
from domain.indicators import Ratio

_RATE_LOW: Final = "AgencyRateLow"
_SILENT: Final = "AgencySilent"
#: Asks for the present rate of the indicator of an alert that ended; None when it is not known.
PresentRate = Callable[[Alert], Ratio | None]


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses for links in messages; an empty one gives no link.

    ``{agency}`` and ``{alert}`` stand for the code and the name.
    """

    board: str = ""
    agency: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert, or several of one agency: the main sentence, further sentences, and links (label, address)."""

    firing: bool
    severity: str
    title: str
    lines: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """Subject and entries of a message, firing ones first."""

    subject: str
    firing: tuple[Entry, ...] = ()
    ended: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = field(default=())


def no_present_rate(_: Alert) -> Ratio | None:
    """Always None: there is nobody to ask for the present rate."""
    return None


def content_of(
    alerts: Sequence[Alert], words: Words, *, links: Links, present: PresentRate = no_present_rate, notes: Sequence[str] = ()
) -> Content:
    """The content of a message about ``alerts`` (at least one); ``notes`` come before the entries."""
    firing = sorted((alert for alert in alerts if alert.firing), key=Alert.badness)
    burning = {alert.window for alert in firing if alert.name == _RATE_LOW}
    # A rung that ended while a lower one of the same window fires is not an end.
    ended = [alert for alert in alerts if not alert.firing and not (alert.name == _RATE_LOW and alert.window in burning)]
    ended.sort(key=Alert.badness)
    agencies = {alert.label("agency") for alert in [*firing, *ended] if alert.label("scope") == "agency"}
    writer = _Writer(words, links, present, brief=len(agencies) > 1)
    told, also = _worst_windows(firing)
    ladder = _one_rung_a_window(ended)
    counts = [text.format(n=words.whole(n)) for text, n in zip(words.counts, (_counted(firing), len(ladder)), strict=True) if n]
    return Content(
        subject=f"[{', '.join(counts)}] {writer.subject([*told, *ladder], len(agencies))}",
        firing=tuple(writer.firing(alert, also.get(alert.fingerprint, ())) for alert in told),
        ended=tuple(writer.ended(alert) for alert in ladder),
        notes=tuple(notes),
    )


def _counted(firing: Sequence[Alert]) -> int:
    return len({(alert.name, *alert.window) if alert.label("agency") else (alert.fingerprint,) for alert in firing})


def _one_rung_a_window(alerts: Sequence[Alert]) -> list[Alert]:
    found: dict[tuple[str, ...], Alert] = {}
    for alert in alerts:
        key = (alert.name, *alert.window) if alert.label("agency") else (alert.fingerprint,)
        found.setdefault(key, alert)
    return list(found.values())


def _worst_windows(firing: Sequence[Alert]) -> tuple[list[Alert], Mapping[str, list[Alert]]]:
    """Of each agency's low rates only the worst, and beside it those of the agency's other windows.

    Other alerts stay unchanged.
    """
    told: list[Alert] = []
    also: dict[str, list[Alert]] = {}
    worst: dict[str, Alert] = {}
    for alert in _one_rung_a_window(firing):
        agency = alert.label("agency")
        if alert.name != _RATE_LOW or not agency:
            told.append(alert)
        elif agency in worst:
            also.setdefault(worst[agency].fingerprint, []).append(alert)
        else:
            worst[agency] = alert
            told.append(alert)
    return told, also


class _Writer:
    """Writes sentences in one language."""

    def __init__(self, words: Words, links: Links, present: PresentRate, *, brief: bool) -> None:
        self._words, self._links, self._present, self._brief = words, links, present, brief

    def subject(self, alerts: Sequence[Alert], agencies: int) -> str:
        first = alerts[0]
        summary = self._annotation(first, "summary").rstrip(".")
        if agencies > 1:
            who = self._words.agencies.format(n=self._words.whole(agencies))
            return self._words.subject_many.format(agencies=who, summary=f"{summary[:1].lower()}{summary[1:]}")
        figures = first.figures
        if first.firing and first.name == _RATE_LOW and figures is not None and figures.threshold is not None:
            return self._words.subject_low.format(**self._facts(first, figures))
        if not first.firing and (now := self._present(first)) is not None:
            return self._words.subject_ended.format(**self._facts(first, Figures(now)))
        return f"{self._who(first)}: {summary}" if first.label("agency") else summary

    def firing(self, alert: Alert, also: Sequence[Alert]) -> Entry:
        figures, words = alert.figures, self._words
        title = self._title(alert, figures)
        if self._brief:
            return Entry(firing=True, severity=alert.severity, title=title)
        lines = [words.level.format(severity=words.severities[alert.severity])]
        if figures is not None and alert.name == _RATE_LOW:
            lines += self._need(figures, words.online_dossiers(alert.label("kpi")))
        else:
            lines.append(words.started.format(start=words.time(alert.started)))
        if procedures := alert.annotations.get("procedures"):
            lines.append(self._procedures(procedures, alert))
        others = [words.low_short.format(**self._facts(each, each.figures)) for each in also if each.figures is not None]
        if others:
            lines.append(words.also.format(others="; ".join(others)))
        return Entry(firing=True, severity=alert.severity, title=title, lines=tuple(lines), links=self._links_of(alert))

    def ended(self, alert: Alert) -> Entry:
        words, figures, now = self._words, alert.figures, self._present(alert)
        if now is None and (figures is None or not alert.label("kpi")):
            title = f"{self._who(alert)}: {self._annotation(alert, 'summary')}" if alert.label("agency") else self._said(alert)
        elif now is not None:
            title = words.present.format(**self._facts(alert, Figures(now)))
        else:
            title = words.last.format(**self._facts(alert, figures))
        lines: tuple[str, ...] = ()
        if alert.ended is not None and not self._brief:
            lines = (words.duration.format(start=words.time(self._since(alert)), end=words.time(alert.ended)),)
        return Entry(firing=False, severity=alert.severity, title=title, lines=lines)

    def _since(self, alert: Alert) -> dt.datetime:
        figures = alert.figures
        return figures.since if figures is not None and figures.since is not None else alert.started

    def _title(self, alert: Alert, figures: Figures | None) -> str:
        words = self._words
        text = ""
        if alert.label("scope") != "agency":
            return self._said(alert)
        if alert.name == _RATE_LOW and figures is None:
            text = words.no_figures
        elif alert.name == _SILENT:
            return self._silent(alert)
        elif figures is not None and figures.threshold is not None and alert.name == _RATE_LOW:
            text = words.many if self._brief else words.low
        elif figures is not None and figures.previous is not None:
            text = words.changed.get(alert.name, "")
        elif figures is not None and figures.threshold is not None:
            text = words.limited.get(alert.name, "")
        return text.format(**self._facts(alert, figures)) if text else self._said(alert)

    def _procedures(self, procedures: str, alert: Alert) -> str:
        days = [alert.annotations.get(f"procedures_{name}", "") for name in ("from", "to")]
        if not all(days):
            return self._words.procedures.format(procedures=procedures)
        first, last = map(self._words.day, days)
        return self._words.procedures_of.format(procedures=procedures, first=first, last=last)

    def _silent(self, alert: Alert) -> str:
        hours = {name: alert.annotations.get(name, "") for name in ("quiet_hours", "usual_hours")}
        if not all(hours.values()):
            return self._words.never_heard.format(who=self._who(alert)) if alert.severity == "info" else self._said(alert)
        return self._words.silent.format(who=self._who(alert), **hours)

    def _need(self, figures: Figures, online: str) -> list[str]:
        words = self._words
        lines = []
        if figures.since is not None:
            lines.append(words.since.format(since=words.time(figures.since)))
        if figures.previous is not None:
            lines.append(words.before.format(before=words.ratio(figures.previous)))
        if figures.threshold is not None:
            missing, threshold = figures.missing, words.threshold(figures.threshold)
            if missing is None:
                lines.append(words.impossible.format(threshold=threshold))
            elif missing and figures.missing_to_end is not None:
                to_end = words.whole(figures.missing_to_end)
                lines.append(words.missing_end.format(n=words.whole(missing), m=to_end, online=online, threshold=threshold))
            elif missing:
                lines.append(words.missing.format(n=words.whole(missing), online=online, threshold=threshold))
        return lines

    def _facts(self, alert: Alert, figures: Figures | None) -> dict[str, str]:
        words = self._words
        facts = {
            "who": self._who(alert),
            "kpi": words.kpi(alert.label("kpi")),
            "window": words.window(alert.label("window")),
        }
        if figures is not None:
            facts |= {
                "rate": words.rate(figures.rate),
                "counts": words.counted(figures.rate),
                "threshold": "" if figures.threshold is None else words.threshold(figures.threshold),
                "before": "" if figures.previous is None else words.ratio(figures.previous),
                "projected": "" if figures.projected is None else words.ratio(figures.projected),
            }
        return facts

    def _who(self, alert: Alert) -> str:
        name, code = self._annotation(alert, "agency_name"), alert.label("agency")
        return f"{name} ({code})" if name else code

    def _said(self, alert: Alert) -> str:
        return self._annotation(alert, "description") or self._annotation(alert, "summary") or alert.name

    def _annotation(self, alert: Alert, name: str) -> str:
        notes = alert.annotations
        text = notes.get(f"{name}_en") if self._words.language == "en" else None
        if text is None and self._words.language == "en" and name == "description":
            text = notes.get("summary_en")  # rather a short sentence than one in another language
        return " ".join((text or notes.get(name, "")).split())

    def _links_of(self, alert: Alert) -> tuple[tuple[str, str], ...]:
        code = alert.label("agency")
        page = alert.annotations.get("runbook_page") or alert.annotations.get("runbook_url", "").rstrip("/").rpartition("/")[2]
        given = {
            "board": self._links.board,
            "agency": self._links.agency if code else "",
            "runbook": self._links.runbook,
        }
        known = {"agency": code, "alert": page.rpartition("#")[2] or alert.name, "language": self._words.language}
        return tuple((self._words.links[name], _filled(address, known)) for name, address in given.items() if address)


def _filled(address: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        address = address.replace(f"{{{name}}}", quote(value, safe=""))
    return address
