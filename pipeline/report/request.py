"""Reads the parameters of a report: period, comparison, units, figures, and smallest volume of the ranking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from domain.agencies import AgencyRegistry
from domain.calendars import Calendar, NamedPeriod, PeriodKind, any_days, named, read_day, rolling, year_to_date
from domain.errors import ConfigurationError
from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from domain.unit_maps import EVENT_DAY, UnitMap, unit_map

#: Parameters that name a period by its kind.
_NAMED: Final = (PeriodKind.DAY, PeriodKind.MONTH, PeriodKind.QUARTER, PeriodKind.HALF, PeriodKind.YEAR)
#: The parameters of a period. One of them is given, or ``from`` with ``to``.
_CHOICES: Final = (*(kind.value for kind in _NAMED), "ytd", "last")
#: The parameters that name days, and every parameter of a report.
PERIOD_PARAMETERS: Final = ("from", "to", *_CHOICES, "calendar", "compare", "units")
PARAMETERS: Final = (*PERIOD_PARAMETERS, "min_volume", "figures", "by")
#: The figures that a report has by default, beside the groups of ``domain.figure_groups``; and the name of all figures.
INDICATORS: Final = "indicators"
ALL: Final = "all"
#: What ``compare`` may name besides two days.
PREVIOUS: Final = "previous"
LAST_YEAR: Final = "last-year"
#: The value of ``ytd`` that stands for yesterday.
_UP_TO_YESTERDAY: Final = frozenset({"", "yesterday"})
#: Enough for any number of days or dossiers.
_MOST_DIGITS: Final = 9
_CHANNELS: Final = "channels"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The parameters of a report.

    Attributes:
        period: whole civil days.
        compared: the period with which ``period`` is compared, or None.
        units: the units by which figures are shown.
        min_volume: agencies with fewer dossiers in the denominator get no rank.
        figures: ``INDICATORS`` and names of groups of figures, in order.
        by: whether figures are by unit, or divided further by sub-unit or procedure.
    """

    period: NamedPeriod
    compared: NamedPeriod | None
    units: UnitMap
    min_volume: int = 1
    figures: tuple[str, ...] = (INDICATORS,)
    by: Grouping = Grouping.UNIT

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of figures that the report prints."""
        return tuple(name for name in self.figures if name in GROUPS)

    @property
    def groups_read(self) -> tuple[str, ...]:
        """The groups of figures to read: also channels, when the indicators of sub-units or procedures are computed from them."""
        if self.by is Grouping.UNIT or INDICATORS not in self.figures or _CHANNELS in self.groups:
            return self.groups
        return (*self.groups, _CHANNELS)

    @property
    def reads_dossiers(self) -> bool:
        """Whether some figure of the report is read from whole dossiers instead of from tallies."""
        return any(not GROUPS[name].in_tallies for name in self.groups_read)


def _parameter(name: str) -> str:
    return f"the parameter {name}"


def read_request(parameters: Mapping[str, str], *, registry: AgencyRegistry, today: dt.date) -> ReportRequest:
    """Read the parameters of a report; ``PARAMETERS`` lists them.

    Args:
        parameters: name -> value.
        registry: the agencies.
        today: the civil day of the clock.

    Raises:
        ConfigurationError: a parameter is missing, given twice or invalid; the error names the parameter and valid values.
    """
    reader = ParameterReader(parameters, today)
    period = reader.period()
    if not registry.in_force(period.period.end) and not registry.in_force(period.period.start):
        begin = min(row.valid_from for row in registry)
        raise ConfigurationError(
            f"The registry has no agency from {period.period.start} to {period.period.end}.", remedy=f"It begins on {begin}."
        )
    by = reader.grouping()
    return ReportRequest(period, reader.compared(period), reader.units(period, registry), reader.volume(), reader.figures(by), by)


@dataclass(frozen=True, slots=True)
class ParameterReader:
    """Reads the parameters of a report, each by itself.

    Attributes:
        parameters: name -> value.
        today: the civil day of the clock.
        label: returns how errors name a parameter; for a command, the name of its option.
    """

    parameters: Mapping[str, str]
    today: dt.date
    label: Callable[[str], str] = _parameter

    def period(self) -> NamedPeriod:
        """The period of the report.

        Raises:
            ConfigurationError: the period is missing, given twice or invalid.
        """
        given = [name for name in _CHOICES if name in self.parameters]
        ends = [name for name in ("from", "to") if name in self.parameters]
        if len(given) + bool(ends) != 1:
            found = " and ".join(map(self.label, [*given, *ends]))
            raise ConfigurationError(
                f"A report needs one period, not several: {found}." if found else "A report needs a period.",
                remedy=f"Give from and to, or one of {', '.join(_CHOICES)}.",
            )
        if len(ends) == 1:
            missing = "to" if ends == ["from"] else "from"
            raise ConfigurationError(
                f"{self._begin(missing)} is missing.", remedy=f"Give it together with {self.label(ends[0])}."
            )
        if ends:
            return any_days(*(self._of(name, read_day) for name in ("from", "to")))
        return self._of(given[0], partial(self._named, given[0]))

    def _named(self, name: str, text: str) -> NamedPeriod:
        try:
            calendar = Calendar(self.parameters.get("calendar", Calendar.CIVIL.value))
        except ValueError as error:
            names = " or ".join(each.value for each in Calendar)
            raise ConfigurationError(f"{self._begin('calendar')} is not a calendar.", remedy=f"Write {names}.") from error
        if name == "ytd":
            last = None if text in _UP_TO_YESTERDAY else read_day(text)
            return year_to_date(last, today=self.today, calendar=calendar)
        return rolling(_number(text), today=self.today) if name == "last" else named(PeriodKind(name), text, calendar=calendar)

    def compared(self, period: NamedPeriod) -> NamedPeriod | None:
        """The period with which ``period`` is compared; None without the parameter ``compare``.

        Raises:
            ConfigurationError: ``compare`` names no period, or a period that begins too early.
        """
        if not self.parameters.get("compare"):
            return None
        return self._of("compare", partial(_compared, period))

    def units(self, period: NamedPeriod, registry: AgencyRegistry) -> UnitMap:
        """The units by which figures are shown.

        Raises:
            ConfigurationError: ``units`` names no units, or a day for which the registry has none.
        """
        return self._of("units", partial(unit_map, registry=registry, period=period.period, today=self.today), default=EVENT_DAY)

    def volume(self) -> int:
        """The smallest denominator with which an agency is ranked.

        Raises:
            ConfigurationError: ``min_volume`` is not a number, is 0, or has too many digits.
        """
        return self._of("min_volume", _volume, default="1")

    def grouping(self) -> Grouping:
        """Whether figures are by unit, sub-unit or procedure.

        Raises:
            ConfigurationError: ``by`` has another value.
        """
        return self._of("by", _grouping, default=Grouping.UNIT.value)

    def figures(self, by: Grouping) -> tuple[str, ...]:
        """The figures, in the order in which they are printed.

        Raises:
            ConfigurationError: ``figures`` has an unknown name, or one whose figures cannot be divided by sub-unit.
        """
        return self._of("figures", partial(_figures, by=by), default=INDICATORS)

    def _of(self, name: str, read: Callable[[str], _T], *, default: str = "") -> _T:
        """Return ``read`` of the parameter's text, or of ``default``; errors of ``read`` get the parameter's name."""
        try:
            return read(self.parameters.get(name, default))
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._begin(name)}: {error.problem}", remedy=error.remedy) from error

    def _begin(self, name: str) -> str:
        label = self.label(name)
        return label[:1].upper() + label[1:]


def _compared(period: NamedPeriod, text: str) -> NamedPeriod:
    if text == PREVIOUS:
        return period.previous()
    if text == LAST_YEAR:
        return period.last_year()
    first, separator, last = text.partition("..")
    if not separator:
        raise ConfigurationError(
            f"{text[:40]!r} is not a period.", remedy=f"Write {PREVIOUS}, {LAST_YEAR}, or two days: 2023-01-01..2023-08-20."
        )
    return any_days(read_day(first), read_day(last))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ConfigurationError(f"{text[:40]!r} is not a number.", remedy="Write a whole number such as 30.")
    return int(text)


def _grouping(text: str) -> Grouping:
    try:
        return Grouping(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text[:40]!r} does not divide figures.", remedy=f"Write one of {', '.join(each.value for each in Grouping)}."
        ) from error


def _figures(text: str, by: Grouping) -> tuple[str, ...]:
    named = {name.strip() for name in text.split(",")}
    known = (INDICATORS, *GROUPS)
    if unknown := named - {*known, ALL}:
        raise ConfigurationError(
            f"There are no figures {min(unknown)[:40]!r}.", remedy=f"Write one or more of {', '.join(known)}, or {ALL}."
        )
    tallied = {name for name, group in GROUPS.items() if group.in_tallies} if by is Grouping.SUB_UNIT else set()
    if wrong := named & tallied:
        raise ConfigurationError(
            f"The figures {min(wrong)} are not known by {by.value}.", remedy=f"Divide them by {Grouping.PROCEDURE.value}."
        )
    return tuple(name for name in known if name in named or (ALL in named and name not in tallied))


def _volume(text: str) -> int:
    number = _number(text)
    if number < 1:
        raise ConfigurationError("0 dossiers are too few.", remedy="Write a number from 1 on.")
    return number
