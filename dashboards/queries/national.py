"""PromQL of the national board: nation, blocks, the ranking of agencies, open alerts.

``$kpi`` and ``$window`` are variables of the board. Queries read recorded series (dashboards/rules) wherever one exists.
"""

from __future__ import annotations

from typing import Final

from dashboards.queries.query import BoardQuery, cut_percent, cut_points

#: The values of ``agency_state``, from the worst to the best; the words are those of the live board.
NO_DATA, ZERO, BELOW5, BELOW10, BELOW_TARGET, ABOVE, MET, NO_LIMITS = range(8)

_AT: Final = 'kpi="$kpi",window="$window"'
_ON: Final = "on (agency, kpi, window)"
#: Every agency has thresholds, but one that is not expected to report and never sent has no figures, also not 0 of 0.
_FIGURES: Final = f"agency:kpi_denominator:max{{{_AT}}}"
#: One series that is there while the exporter answers: a zero beside it is a real one.
ANSWERED: Final = "0 * max(portalpulse_storage_up)"
#: The name of each agency.
NAMES: Final = "max by (agency, name) (agency_info)"

#: Labels that tell one alert from another.
ALERT: Final = "alertname, agency, kpi, window, rung, severity"


def state_of(at: str) -> str:
    """PromQL of where the rate of each agency stands on the ladder; ``at`` selects indicator, window and perhaps agency."""
    ratio = f"agency:kpi:ratio{{{at}}}"

    def rung(name: str) -> str:
        return f'{_ON} agency:kpi_rung:ratio{{{at},rung="{name}"}}'

    cases = (
        (f"{ratio} == 0", ZERO),
        (f"{ratio} < {rung('below5')}", BELOW5),
        (f"{ratio} < {rung('below10')}", BELOW10),
        (f"{ratio} < {rung('target')}", BELOW_TARGET),
        (f"{ratio} >= {rung('target')}", MET),
        (f"{ratio} and {_ON} agency:kpi_rung:ratio{{{at}}}", ABOVE),
        (ratio, NO_LIMITS),
        (f"agency:kpi_denominator:max{{{at}}} == 0", NO_DATA),
    )
    return " or ".join(f"max by (agency, window) ({condition}) * 0 + {value}" for condition, value in cases)


def missing_of(at: str) -> str:
    """PromQL of how many more dossiers, all online, reach the next limit (they count in the denominator, too)."""
    rung, numerator = f'agency:kpi_rung:ratio{{{at},rung!="zero"}}', f"agency:kpi_numerator:max{{{at}}}"
    gap = f"{rung} * {_ON} group_left () agency:kpi_denominator:max{{{at}}} - {_ON} group_left () {numerator}"
    return f"min by (agency, window) (ceil(({gap}) / ((1 - {rung}) > 0) - 1e-6) > 0)"


AGENCY_NAME = BoardQuery(
    "agency_name",
    f"max by (agency, name, block) (agency_info and on (agency) {_FIGURES})",
    "Always 1; the labels are name and block of every agency that is expected to report or has sent an event.",
)
AGENCY_STATE = BoardQuery(
    "agency_state", f"max by (agency) ({state_of(_AT)})", "Where the rate stands on the ladder of the window that is shown."
)
AGENCY_PERCENT = BoardQuery(
    "agency_percent",
    cut_percent(f"max by (agency) (agency:kpi:ratio{{{_AT}}})"),
    "Rate of an agency, cut; absent when its window is empty.",
    "agency_percent",
)
AGENCY_CHANGE = BoardQuery(
    "agency_change",
    cut_points('max by (agency) (agency:kpi_change:points{kpi="$kpi",window="7d"})'),
    "Rate of 7 days minus that of the 7 days before, in percentage points.",
    may_be_empty="nobody has dossiers in both weeks",
)
AGENCY_NUMERATOR = BoardQuery(
    "agency_numerator",
    f"max by (agency) (agency:kpi_numerator:max{{{_AT}}})",
    "Dossiers that meet the indicator.",
    "agency_numerator",
)
AGENCY_DENOMINATOR = BoardQuery(
    "agency_denominator", f"max by (agency) (agency:kpi_denominator:max{{{_AT}}})", "All dossiers.", "agency_denominator"
)
AGENCY_THRESHOLD = BoardQuery(
    "agency_threshold",
    f"100 * max by (agency) (agency:kpi_threshold:ratio{{{_AT}}} and on (agency) {_FIGURES})",
    "Threshold of an agency.",
    may_be_empty="the window has no policy",
)
AGENCY_MISSING = BoardQuery(
    "agency_missing",
    f"max by (agency) ({missing_of(_AT)})",
    "New online dossiers missing to the next limit; they count in the denominator, too.",
    may_be_empty="nobody is below a limit, or the window has none",
)
AGENCY_ALERTS = BoardQuery(
    "agency_alerts",
    'count by (agency) (ALERTS{alertstate="firing",agency!=""})'
    f" or on (agency) 0 * max by (agency) (agency_info and on (agency) {_FIGURES})",
    "Open alerts on an agency, of every indicator and window.",
)
AGENCY_LAST_EVENT = BoardQuery(
    "agency_last_event",
    "1000 * max by (agency) (agency_last_event_timestamp_seconds)",
    "Time of the newest event, in milliseconds since 1970.",
)
AGENCY_MARGIN = BoardQuery(
    "agency_margin",
    "bottomk(20, "
    + cut_points(f"(agency:kpi:ratio{{{_AT}}} - {_ON} agency:kpi_threshold:ratio)")
    + f") * on (agency) group_left (name) {NAMES}",
    "Rate minus threshold in percentage points, the twenty worst; below 0 is below the threshold.",
    may_be_empty="the window has no policy, or nobody has a dossier",
)
STATES = BoardQuery(
    "states",
    f'count_values("state", {state_of(_AT)})',
    "Number of agencies in each state of the window that is shown.",
)
AGENCIES_FIRING = BoardQuery(
    "agencies_firing",
    f'count(count by (agency) (ALERTS{{alertname="AgencyRateLow",alertstate="firing",rung=~"zero|below5"}})) or {ANSWERED}',
    "Agencies with an alert on a rate below 5 % or of zero, in any window and indicator.",
)
AGENCIES_ALERTED = BoardQuery(
    "agencies_alerted",
    f'count(count by (agency) (ALERTS{{alertstate="firing",agency!="",severity!="info"}})) or {ANSWERED}',
    "Agencies with any open alert that is more than information.",
)
AGENCIES_WITHOUT_DATA = BoardQuery(
    "agencies_without_data",
    f"count({_FIGURES} == 0) or 0 * count({_FIGURES})",
    "Agencies with an empty window. Absent when the exporter does not answer, because that is not zero.",
)
BLOCK_PERCENT = BoardQuery(
    "block_percent", cut_percent(f"max by (block) (block:kpi:ratio{{{_AT}}})"), "Pooled rate of a block, cut.", "block_percent"
)
BLOCK_NUMERATOR = BoardQuery(
    "block_numerator", f"max by (block) (block:kpi_numerator:sum{{{_AT}}})", "Online dossiers of a block.", "block_numerator"
)
BLOCK_DENOMINATOR = BoardQuery(
    "block_denominator", f"max by (block) (block:kpi_denominator:sum{{{_AT}}})", "All dossiers of a block.", "block_denominator"
)
NATION_PERCENT = BoardQuery(
    "nation_percent", cut_percent(f"max(national:kpi:ratio{{{_AT}}})"), "Pooled rate of the nation, cut.", "nation_percent"
)
NATION_NUMERATOR = BoardQuery(
    "nation_numerator", f"max(national:kpi_numerator:sum{{{_AT}}})", "Online dossiers of the nation.", "nation_numerator"
)
NATION_DENOMINATOR = BoardQuery(
    "nation_denominator", f"max(national:kpi_denominator:sum{{{_AT}}})", "All dossiers of the nation.", "nation_denominator"
)
_WEEK = '{kpi="$kpi",window="7d"}'
NATION_CHANGE = BoardQuery(
    "nation_change",
    cut_points(
        f"(sum(agency:kpi_numerator:max{_WEEK}) / (sum(agency:kpi_denominator:max{_WEEK}) > 0)"
        f" - sum(agency:kpi_earlier_numerator:max{_WEEK}) / (sum(agency:kpi_earlier_denominator:max{_WEEK}) > 0))"
    ),
    "Rate of the nation of 7 days minus that of the 7 days before, in percentage points.",
    may_be_empty="one of the two weeks has no dossiers",
)
FINDINGS = BoardQuery(
    "findings",
    "sum by (kind) (agency_findings)",
    "Unusual dossiers of the day, by kind.",
    may_be_empty="the first search of the day has not ended",
)
_SINCE = f'max by ({ALERT}) (ALERTS_FOR_STATE{{alertname!="Watchdog"}} and ignoring (alertstate) ALERTS{{alertstate="firing"}})'
FIRING_ALERTS = BoardQuery(
    "firing_alerts",
    f"1000 * ({_SINCE} * on (agency) group_left (name) {NAMES} or {_SINCE} unless on (agency) {NAMES})",
    "Since when each open alert is true, in milliseconds since 1970.",
    may_be_empty="no alert is open",
)
