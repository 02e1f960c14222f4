"""PromQL of the board of one agency: its rate and limits, its windows, its alerts, its unusual dossiers.

``$agency`` is one code. Recorded series of the other agencies are not read.
"""

from __future__ import annotations

from typing import Final

from dashboards.queries.national import missing_of, state_of
from dashboards.queries.query import BoardQuery, cut_percent, cut_points

_ONE: Final = 'agency="$agency"'
_KPI: Final = f'{_ONE},kpi="$kpi"'
_AT: Final = f'{_KPI},window="$window"'

ONE_NAME = BoardQuery(
    "one_name", f"max by (agency, name, block) (agency_info{{{_ONE}}})", "Always 1; the labels are name and block of the agency."
)
ONE_PERCENT = BoardQuery(
    "one_percent",
    cut_percent(f"max(agency:kpi:ratio{{{_AT}}})"),
    "Rate, cut.",
    may_be_empty="the window has no dossiers",
)
ONE_STATE = BoardQuery("one_state", f"max({state_of(_AT)})", "Where the rate stands on the ladder.")
ONE_NUMERATOR = BoardQuery("one_numerator", f"max(agency:kpi_numerator:max{{{_AT}}})", "Dossiers that meet the indicator.")
ONE_DENOMINATOR = BoardQuery("one_denominator", f"max(agency:kpi_denominator:max{{{_AT}}})", "All dossiers.")
ONE_MISSING = BoardQuery(
    "one_missing",
    f"max({missing_of(_AT)})",
    "New online dossiers missing to the next limit.",
    may_be_empty="the rate is above every limit, or the window has none",
)
ONE_LAST_EVENT = BoardQuery(
    "one_last_event",
    f"1000 * max(agency_last_event_timestamp_seconds{{{_ONE}}})",
    "Time of the newest event, in milliseconds since 1970.",
    may_be_empty="the agency never sent an event",
)
ONE_LIMITS = BoardQuery(
    "one_limits",
    f'100 * max by (rung) (agency:kpi_rung:ratio{{{_AT},rung!="zero"}})',
    "The limits of the ladder.",
    may_be_empty="the window has no policy",
)
ONE_CLEAR = BoardQuery(
    "one_clear",
    f'100 * max(agency:kpi_rung_clear:ratio{{{_AT},rung="below5"}})',
    "Where an alert on the threshold ends: the upper edge of the deadband.",
    may_be_empty="the window has no policy",
)
WINDOW_PERCENT = BoardQuery(
    "window_percent",
    cut_percent(f"max by (window) (agency:kpi:ratio{{{_KPI}}})"),
    "Rate of each window, cut.",
    may_be_empty="no window has dossiers",
)
WINDOW_STATE = BoardQuery("window_state", f"max by (window) ({state_of(_KPI)})", "Where the rate of each window stands.")
WINDOW_NUMERATOR = BoardQuery("window_numerator", f"max by (window) (agency:kpi_numerator:max{{{_KPI}}})", "Online dossiers.")
WINDOW_DENOMINATOR = BoardQuery("window_denominator", f"max by (window) (agency:kpi_denominator:max{{{_KPI}}})", "All dossiers.")
WINDOW_THRESHOLD = BoardQuery(
    "window_threshold",
    f"100 * max by (window) (agency:kpi_threshold:ratio{{{_KPI}}})",
    "Threshold of each window that has a policy.",
    may_be_empty="no window has a policy",
)
WINDOW_MISSING = BoardQuery(
    "window_missing",
    f"max by (window) ({missing_of(_KPI)})",
    "Missing dossiers to the next limit of each window.",
    may_be_empty="every rate is above its limits",
)
WINDOW_MIN_VOLUME = BoardQuery(
    "window_min_volume",
    f"max by (window) (agency:kpi_min_volume:max{{{_KPI}}})",
    "Dossiers below which a window is not judged.",
    may_be_empty="no window has a policy",
)
WINDOW_CHANGE = BoardQuery(
    "window_change",
    cut_points(f"max by (window) (agency:kpi_change:points{{{_KPI}}})"),
    "Rate of a window minus that of one week earlier, in percentage points.",
    may_be_empty="one of the two has no dossiers",
)
ONE_QUIET = BoardQuery("one_quiet", f"max(agency:quiet_working:seconds{{{_ONE}}}) / 3600", "Office hours since the newest event.")
ONE_QUIET_LIMIT = BoardQuery(
    "one_quiet_limit", f"max(agency:quiet_limit:seconds{{{_ONE}}}) / 3600", "Office hours after which silence is told."
)
ONE_YEAR_END = BoardQuery(
    "one_year_end",
    cut_percent(f"max(agency:kpi_year_end:ratio{{{_KPI}}})"),
    "Rate of the whole year if the rest is like the last 30 days.",
    may_be_empty="the year has no dossiers",
)
ONE_ACCEPTED_LATE = BoardQuery(
    "one_accepted_late",
    cut_percent(f"max(agency:accepted_late:ratio{{{_ONE}}})"),
    "Share of the dossiers registered online whose time for an answer is over that were accepted late.",
    may_be_empty="the first search has not ended, or nothing was registered",
)
ONE_FINDINGS = BoardQuery(
    "one_findings",
    f"max by (kind) (agency_findings{{{_ONE}}})",
    "Unusual dossiers of the day, by kind.",
    may_be_empty="the first search of the day has not ended",
)
ONE_ALERTS = BoardQuery(
    "one_alerts",
    'max by (alertname, kpi, window, rung) (ALERTS{alertstate="firing",agency="$agency"})',
    "1 while an alert on the agency is open.",
    may_be_empty="no alert is open",
)
ONE_FIRING = BoardQuery(
    "one_firing",
    "1000 * max by (alertname, kpi, window, rung, severity)"
    ' (ALERTS_FOR_STATE{agency="$agency"} and ignoring (alertstate) ALERTS{alertstate="firing"})',
    "Since when each open alert on the agency is true, in milliseconds since 1970.",
    may_be_empty="no alert is open",
)
