"""Alerts as Alertmanager delivers them, with the exact figures in their annotations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from domain.indicators import Ratio
from domain.targets import missing_to

#: From the worst on.
SEVERITIES: Final = ("critical", "warning", "info", "none")
RUNGS: Final = ("zero", "below5", "below10", "target")
#: Alertmanager's time for "not ended".
_NEVER: Final = "0001-01-01"


@dataclass(frozen=True, slots=True)
class Figures:
    """A rate and the ratios that it is compared with: ``previous``: one week earlier, ``projected``: of the whole year.

    ``since``: when the rate became low.
    """

    rate: Ratio
    threshold: Fraction | None = None
    previous: Fraction | None = None
    projected: Fraction | None = None
    since: dt.datetime | None = None
    missing_to_end: int | None = None

    @property
    def missing(self) -> int | None:
        """How many more dossiers, all of them online, reach the threshold (they count in the denominator, too).

        None when no number reaches it, 0 when it is reached. ``threshold`` must be known.
        """
        return missing_to(self.rate, self.threshold or Fraction(0))


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a delivery."""

    fingerprint: str
    firing: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    started: dt.datetime
    ended: dt.datetime | None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Alert:
        """Read one alert from an entry of Alertmanager's webhook.

        Raises:
            ValueError, KeyError, TypeError: the entry is not an alert.
        """
        labels = {str(key): str(value) for key, value in fields["labels"].items()}
        ended = str(fields.get("endsAt") or _NEVER)
        return cls(
            fingerprint=str(fields.get("fingerprint") or sorted(labels.items())),
            firing=fields["status"] == "firing",
            labels=labels,
            annotations={str(key): str(value) for key, value in (fields.get("annotations") or {}).items()},
            started=dt.datetime.fromisoformat(str(fields["startsAt"])),
            ended=None if ended.startswith(_NEVER) else dt.datetime.fromisoformat(ended),
        )

    def as_json(self) -> dict[str, Any]:
        """The entry that ``from_json`` reads."""
        return {
            "fingerprint": self.fingerprint,
            "status": "firing" if self.firing else "resolved",
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "startsAt": self.started.isoformat(),
            "endsAt": None if self.ended is None else self.ended.isoformat(),
        }

    def label(self, name: str) -> str:
        """The value of a label; empty when the alert has no such label."""
        return self.labels.get(name, "")

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.label("alertname")

    @property
    def severity(self) -> str:
        """critical, warning, info or none; an unknown severity counts as critical, so that the message is not held back."""
        found = self.label("severity")
        return found if found in SEVERITIES else SEVERITIES[0]

    @property
    def window(self) -> tuple[str, str, str]:
        """The agency, indicator and window that all rungs of one ladder share."""
        return self.label("agency"), self.label("kpi"), self.label("window")

    @property
    def figures(self) -> Figures | None:
        """The figures in the annotations; None when the alert has none or they cannot be read."""
        notes = self.annotations
        try:
            rate = Ratio(int(notes["numerator"]), int(notes["denominator"]))
            return Figures(
                rate,
                threshold=self._threshold(),
                previous=Fraction(notes["previous"]) if notes.get("previous") else None,
                projected=Fraction(notes["projected"]) if notes.get("projected") else None,
                since=dt.datetime.fromtimestamp(float(notes["since"]), dt.UTC) if notes.get("since") else None,
                missing_to_end=int(notes["missing_to_end"]) if notes.get("missing_to_end") else None,
            )
        except (KeyError, ValueError, ArithmeticError, OSError):
            return None

    def _threshold(self) -> Fraction | None:
        text = self.annotations.get("threshold", "")
        if not text:
            return None
        # Rules that write "deficit" write the threshold in percent.
        return Fraction(text) / (100 if "deficit" in self.annotations else 1)

    def badness(self) -> tuple[int, int, Fraction, str]:
        """A sort key that puts the worst alert first: severity, rung, rate."""
        rung = self.label("rung")
        figures = self.figures
        rate = Fraction(1)
        if figures is not None and not figures.rate.no_data:
            rate = Fraction(figures.rate.numerator, figures.rate.denominator)
        return (
            SEVERITIES.index(self.severity),
            RUNGS.index(rung) if rung in RUNGS else len(RUNGS),
            rate,
            self.fingerprint,
        )


def read_delivery(body: Mapping[str, Any]) -> tuple[Alert, ...]:
    """The alerts in the body of a call of Alertmanager's webhook.

    Raises:
        ValueError, KeyError, TypeError: the body is not such a call.
    """
    return tuple(Alert.from_json(fields) for fields in body["alerts"])
