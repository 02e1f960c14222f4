"""Every PromQL query of the boards, with its name, its meaning and the figure of the report that it equals.

``$kpi``, ``$window`` and ``$agency`` are variables of the board. Queries read recorded series (dashboards/rules) wherever one
exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: A figure of the report: scope and number. ``none``: the report does not have it.
Figure = Literal[
    "agency_percent",
    "agency_numerator",
    "agency_denominator",
    "block_percent",
    "block_numerator",
    "block_denominator",
    "nation_percent",
    "nation_numerator",
    "nation_denominator",
    "none",
]

#: The values of ``agency_state``.
FIRING, BELOW, REACHED, NO_DATA, NO_THRESHOLD = 2, 1, 0, -1, -2


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """One query. Series of agencies have the label ``agency``, of blocks ``block``; percentages are from 0 to 100."""

    name: str
    promql: str
    #: What a value means, for readers of the board's source.
    meaning: str
    equals: Figure = "none"
    #: Whether an empty answer is normal (no alert, no dead letter, no worker metrics).
    may_be_empty: bool = False


_AT = 'kpi="$kpi",window="$window"'
_AGENCY = f'{_AT},agency=~"$agency"'
#: Every agency has thresholds, but one that is not expected to report and never sent has no figures, also not 0 of 0.
_FIGURES = f"agency:kpi_denominator:max{{{_AT}}}"
_FIRING = f'ALERTS{{alertname="AgencyRateLow",alertstate="firing",{_AGENCY}}}'

AGENCY_NAME = BoardQuery(
    "agency_name",
    f'max by (agency, name, block) (agency_info{{agency=~"$agency"}} and on (agency) {_FIGURES})',
    "Always 1; the labels are name and block of every agency that is expected to report or has sent an event.",
)
AGENCY_PERCENT = BoardQuery(
    "agency_percent",
    f"100 * max by (agency) (agency:kpi:ratio{{{_AGENCY}}})",
    "Rate of an agency; absent when its window is empty.",
    "agency_percent",
)
AGENCY_NUMERATOR = BoardQuery(
    "agency_numerator",
    f"max by (agency) (agency:kpi_numerator:max{{{_AGENCY}}})",
    "Dossiers that meet the indicator.",
    "agency_numerator",
)
AGENCY_DENOMINATOR = BoardQuery(
    "agency_denominator",
    f"max by (agency) (agency:kpi_denominator:max{{{_AGENCY}}})",
    "All dossiers.",
    "agency_denominator",
)
AGENCY_THRESHOLD = BoardQuery(
    "agency_threshold",
    f"100 * max by (agency) (agency:kpi_threshold:ratio{{{_AGENCY}}} and on (agency) {_FIGURES})",
    "Threshold of an agency; absent when the window has none, or the agency neither reports nor needs to.",
    may_be_empty=True,
)
AGENCY_DEFICIT = BoardQuery(
    "agency_deficit",
    f"max by (agency) (agency:kpi_deficit:count{{{_AGENCY}}})",
    "New online dossiers missing to the threshold; they count in the denominator, too.",
    may_be_empty=True,
)
AGENCY_MARGIN = BoardQuery(
    "agency_margin",
    f"bottomk(20, 100 * max by (agency) (agency:kpi:ratio{{{_AGENCY}}} - on (agency, kpi, window) agency:kpi_threshold:ratio))",
    "Rate minus threshold in percentage points, the twenty worst; below 0 is below the threshold.",
    may_be_empty=True,
)
AGENCY_STATE = BoardQuery(
    "agency_state",
    f"{FIRING} * max by (agency) ({_FIRING})"
    f" or max by (agency) (agency:kpi:ratio{{{_AGENCY}}} < bool on (agency, kpi, window) agency:kpi_threshold:ratio)"
    f" or max by (agency) (agency:kpi:ratio{{{_AGENCY}}}) * 0 - {-NO_THRESHOLD}"
    f" or max by (agency) (agency:kpi_denominator:max{{{_AGENCY}}}) * 0 - {-NO_DATA}",
    "2 alert firing, 1 below the threshold, 0 at or above it, -1 no data, -2 no threshold.",
)
AGENCIES_FIRING = BoardQuery(
    "agencies_firing",
    f"count(count by (agency) ({_FIRING})) or vector(0)",
    "Number of agencies whose alert fires.",
)
AGENCIES_WITHOUT_DATA = BoardQuery(
    "agencies_without_data",
    f"count(agency:kpi_denominator:max{{{_AGENCY}}} == 0) or vector(0)",
    "Number of agencies with an empty window.",
)
BLOCK_PERCENT = BoardQuery(
    "block_percent",
    f"100 * max by (block) (block:kpi:ratio{{{_AT}}})",
    "Pooled rate of a block.",
    "block_percent",
)
BLOCK_NUMERATOR = BoardQuery(
    "block_numerator",
    f"max by (block) (block:kpi_numerator:sum{{{_AT}}})",
    "Online dossiers of a block.",
    "block_numerator",
)
BLOCK_DENOMINATOR = BoardQuery(
    "block_denominator",
    f"max by (block) (block:kpi_denominator:sum{{{_AT}}})",
    "All dossiers of a block.",
    "block_denominator",
)
NATION_PERCENT = BoardQuery(
    "nation_percent",
    f"100 * max(national:kpi:ratio{{{_AT}}})",
    "Pooled rate of the nation.",
    "nation_percent",
)
NATION_NUMERATOR = BoardQuery(
    "nation_numerator",
    f"max(national:kpi_numerator:sum{{{_AT}}})",
    "Online dossiers of the nation.",
    "nation_numerator",
)
NATION_DENOMINATOR = BoardQuery(
    "nation_denominator",
    f"max(national:kpi_denominator:sum{{{_AT}}})",
    "All dossiers of the nation.",
    "nation_denominator",
)
FRESHNESS = BoardQuery(
    "freshness", "max(pipeline:freshness:seconds)", "Age of the newest event in seconds, by the system's or the scenario's clock."
)
TALLY_LAG = BoardQuery("tally_lag", "max(pipeline:tally_lag:rows)", "Events stored and not yet tallied.")
BACKLOG = BoardQuery(
    "backlog", "max(pipeline:backlog:events)", "Events between Kafka and the tallies; some may be counted twice."
)
AUDIT_DRIFT = BoardQuery(
    "audit_drift",
    "max(pipeline:audit_drift:events)",
    "Events that the audit confirmed as missing or counted twice, besides those in progress; must be 0.",
)
DEAD_LETTERS = BoardQuery(
    "dead_letters",
    "max by (reason) (portalpulse_dead_letters_total) > 0",
    "Dead-lettered messages since the start, by reason.",
    may_be_empty=True,
)
DEAD_LETTER_PERCENT = BoardQuery(
    "dead_letter_percent",
    '100 * max(pipeline:dead_letter_rows_per_received_rows:ratio{window="1h"})',
    "Share of the last hour's messages that were dead-lettered.",
    may_be_empty=True,
)
FIRING_ALERTS = BoardQuery(
    "firing_alerts",
    'max by (alertname, agency, kpi, window, severity) (ALERTS{alertstate="firing",alertname!="Watchdog"})',
    "Always 1; the labels identify the firing alerts.",
    may_be_empty=True,
)

QUERIES: dict[str, BoardQuery] = {query.name: query for query in list(globals().values()) if isinstance(query, BoardQuery)}
