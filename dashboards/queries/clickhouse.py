"""SQL of the boards: history, procedures, dead letters and the size of the tables, which Prometheus does not have.

Every read of a replacing table uses FINAL, and every rate is cut from integers. Days are civil days of Viet Nam. ``$__fromTime``
and ``$__toTime`` are macros of the data source, ``${agency:sqlstring}`` is a quoted code. Tables are those of ``sinks.tables``.
"""

from __future__ import annotations

from typing import Final

from dashboards.queries.query import SqlQuery

_ZONE: Final = "'Asia/Ho_Chi_Minh'"
_FIRST: Final = f"toDate($__fromTime, {_ZONE})"
_LAST: Final = f"toDate($__toTime, {_ZONE})"
#: Numerator and denominator of the chosen indicator. Results handed out at the counter do not count, which is the default.
_NUMERATOR: Final = "if('$kpi' = 'I5', submitted_online, settled_full)"
_DENOMINATOR: Final = "if('$kpi' = 'I5', submitted, settled)"
_AGENCY: Final = "${agency:sqlstring}"


def _cut(numerator: str, denominator: str) -> str:
    """The SQL of a rate in percent, cut to two decimals; NULL without dossiers."""
    return f"if({denominator} = 0, NULL, intDiv(10000 * {numerator}, greatest({denominator}, 1)) / 100)"


def _by_day(where: str) -> str:
    """The SQL of numerator and denominator for every civil day of the range and the six days before, also without dossiers."""
    return (
        f"SELECT day, sum({_NUMERATOR}) AS n, sum({_DENOMINATOR}) AS d FROM agency_day FINAL "  # noqa: S608 - constants
        f"WHERE {where}day >= {_FIRST} - 6 AND day <= {_LAST} "
        f"GROUP BY day ORDER BY day WITH FILL FROM {_FIRST} - 6 TO {_LAST} + 1"
    )


def _of_week(where: str) -> str:
    """The SQL of the rate of 7 days and the dossiers of the day, for each day of the range."""
    return (
        f"SELECT toDateTime(day, {_ZONE}) AS time, {_cut('n7', 'd7')} AS rate, d AS dossiers, n AS online FROM ("  # noqa: S608 - constants
        "SELECT day, n, d, sum(n) OVER w AS n7, sum(d) OVER w AS d7 "
        f"FROM ({_by_day(where)}) WINDOW w AS (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)"
        f") WHERE day >= {_FIRST} ORDER BY time"
    )


AGENCY_HISTORY = SqlQuery(
    "agency_history",
    _of_week(f"agency = {_AGENCY} AND "),
    "Rate of 7 days, and the dossiers of each day of an agency.",
    "series",
)
NATION_HISTORY = SqlQuery("nation_history", _of_week(""), "Rate of 7 days, and the dossiers of each day of the nation.", "series")
_BLOCK: Final = "agency IN (SELECT code FROM agencies WHERE block = '{block}')"


def _block_rate(block: str) -> str:
    within = _BLOCK.format(block=block)
    return _cut(f"sumIf({_NUMERATOR}, {within})", f"sumIf({_DENOMINATOR}, {within})")


MONTHS = SqlQuery(
    "months",
    f"SELECT toDateTime(toStartOfMonth(day), {_ZONE}) AS time, {_cut(f'sum({_NUMERATOR})', f'sum({_DENOMINATOR})')} AS nation, "  # noqa: S608 - constants
    f"{_block_rate('ministry')} AS ministry, {_block_rate('province')} AS province, sum({_DENOMINATOR}) AS dossiers "
    f"FROM agency_day FINAL WHERE day >= toStartOfMonth({_FIRST}) AND day <= {_LAST} GROUP BY time ORDER BY time",
    "Rates of nation and blocks of each month.",
    "series",
)
_PROCEDURE_NAMES: Final = (
    "SELECT procedure_code, argMax(name, valid_from) AS name FROM catalogue_entries FINAL "  # noqa: S608 - constants
    f"WHERE agency = {_AGENCY} AND load_id = (SELECT argMax(load_id, (loaded_at, load_id)) FROM catalogue_loads "
    f"WHERE agency = {_AGENCY}) GROUP BY procedure_code"
)
PROCEDURES = SqlQuery(
    "procedures",
    "SELECT procedure_code, any(names.name) AS name, "  # noqa: S608 - constants
    f"sum({_DENOMINATOR}) AS dossiers, sum({_NUMERATOR}) AS online, {_cut('online', 'dossiers')} AS rate "
    f"FROM (SELECT * FROM agency_day_procedure FINAL WHERE agency = {_AGENCY} AND day >= {_FIRST} AND day <= {_LAST}) AS tallies "
    f"LEFT JOIN ({_PROCEDURE_NAMES}) AS names ON names.procedure_code = tallies.procedure_code "
    "GROUP BY procedure_code HAVING dossiers > 0 ORDER BY dossiers - online DESC, procedure_code LIMIT 50",
    "The procedures of an agency that lack most online dossiers, with their names of the catalogue.",
)
CHANNELS = SqlQuery(
    "channels",
    "SELECT sum(submitted_online) AS online, sum(submitted) - sum(submitted_online) AS elsewhere, "  # noqa: S608 - constants
    "sum(refused) AS refused, sum(withdrawn) AS withdrawn, sum(stopped) AS stopped "
    f"FROM agency_day FINAL WHERE agency = {_AGENCY} AND day >= {_FIRST} AND day <= {_LAST}",
    "How dossiers came, and how many ended without a result.",
)
EVENTS_BY_HOUR = SqlQuery(
    "events_by_hour",
    "SELECT toStartOfHour(minute) AS time, sum(events) AS events FROM agency_minute FINAL "
    "WHERE minute >= $__fromTime AND minute <= $__toTime GROUP BY time ORDER BY time",
    "Events of each hour, by the time at which they happened.",
    "series",
)
DEAD_LETTER_REASONS = SqlQuery(
    "dead_letter_reasons",
    "SELECT reason, count() AS letters, min(first_seen) AS first, max(first_seen) AS last "
    "FROM dead_letters FINAL WHERE first_seen >= $__fromTime AND first_seen <= $__toTime "
    "GROUP BY reason ORDER BY letters DESC, reason",
    "Dead letters of the range, by reason.",
    may_be_empty="there are none",
)
DEAD_LETTERS_NEWEST = SqlQuery(
    "dead_letters_newest",
    "SELECT first_seen AS seen, reason, topic, partition, offset, error FROM dead_letters FINAL "
    "WHERE first_seen >= $__fromTime AND first_seen <= $__toTime ORDER BY first_seen DESC, topic, partition, offset LIMIT 50",
    "The newest dead letters of the range, without their content.",
    may_be_empty="there are none",
)
TABLE_SIZES = SqlQuery(
    "table_sizes",
    # Of the tables about tables, this is one that every user may read.
    "SELECT name AS table, total_rows AS rows, total_bytes AS bytes, active_parts AS parts FROM system.tables "
    # The tables of a cluster are in a database of their own on each server (docs/cluster.md).
    "WHERE database IN (currentDatabase(), currentDatabase() || '_local') AND engine LIKE '%MergeTree' "
    "ORDER BY bytes DESC, table",
    "Rows, bytes and parts of each table, on the server that answers.",
)
CATALOGUE = SqlQuery(
    "catalogue",
    "SELECT agency, any(names.name) AS name, max(loaded_at) AS loaded, argMax(entries, (loaded_at, load_id)) AS entries, "
    "argMax(source, (loaded_at, load_id)) AS source FROM catalogue_loads "
    "LEFT JOIN (SELECT code, argMax(name_vi, valid_from) AS name FROM agencies FINAL GROUP BY code) AS names "
    "ON names.code = catalogue_loads.agency GROUP BY agency ORDER BY loaded DESC, agency",
    "The catalogue of each agency: when it was loaded, from what, how many entries.",
    may_be_empty="no catalogue was loaded",
)
