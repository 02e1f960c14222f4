"""PromQL of the pipeline: whether figures are current, and rate, errors, duration and backlog of each stage."""

from __future__ import annotations

from typing import Final

from dashboards.queries.national import NAMES
from dashboards.queries.query import BoardQuery

#: The values of ``banner``, from the mildest to the worst.
FRESH, QUIET, SCENARIO, NO_EVENTS, BEHIND, STALE, STORAGE_DOWN = range(7)

_OFFICE_SECONDS: Final = 600
_BACKLOG: Final = 30_000
_AGE: Final = "max(portalpulse_clock_timestamp_seconds) - max(portalpulse_newest_event_timestamp_seconds)"
_RATE: Final = "[$__rate_interval]"

#: From the exporter itself, not from recorded series: those are up to a minute older, and stay for two after it died.
BANNER = BoardQuery(
    "banner",
    " or ".join(
        (
            f"(max(portalpulse_storage_up) == 0) * 0 + {STORAGE_DOWN}",
            f"(max(portalpulse_clock_fixed) == 1) * 0 + {SCENARIO}",
            f"(max(portalpulse_quiet_working_seconds) >= {_OFFICE_SECONDS}) * 0 + {STALE}",
            f"(pipeline:backlog:events > {_BACKLOG}) * 0 + {BEHIND}",
            f"({_AGE} >= {_OFFICE_SECONDS}) * 0 + {QUIET}",
            f"max(portalpulse_newest_event_timestamp_seconds) * 0 + {FRESH}",
            f"max(portalpulse_storage_up) * 0 + {NO_EVENTS}",
        )
    ),
    "Whether the figures are current; absent when no exporter or no Prometheus answers.",
)
NEWEST_EVENT = BoardQuery(
    "newest_event",
    "1000 * max(portalpulse_newest_event_timestamp_seconds)",
    "Time of the newest event, in milliseconds since 1970.",
)
FRESHNESS = BoardQuery(
    "freshness",
    f"({_AGE}) * (1 - max(portalpulse_clock_fixed)) / 60",
    "Age of the newest event in minutes; 0 in a scenario.",
)
RECEIVED = BoardQuery("received", "sum(portalpulse_received_rows)", "Messages of the last hour, valid or not.")
BACKLOG = BoardQuery(
    "backlog", "max(pipeline:backlog:events)", "Events between Kafka and the tallies; some may be counted twice."
)
TALLY_LAG = BoardQuery("tally_lag", "max(pipeline:tally_lag:rows)", "Events stored and not yet tallied.")
LAG = BoardQuery("lag", "max(pipeline:lag:events)", "Messages in Kafka that no worker has fetched.")
IN_FLIGHT = BoardQuery("in_flight", "max(pipeline:in_flight:events)", "Messages fetched and not yet acknowledged.")
UNTALLIED = BoardQuery("untallied", "max(pipeline:untallied:events)", "Messages fetched and not yet tallied.")
UNSTORED = BoardQuery("unstored", "sum(portalpulse_worker_unstored_events)", "Messages held in memory, not yet stored.")
UNRESOLVED = BoardQuery(
    "unresolved", "sum(portalpulse_worker_unresolved_messages)", "Stored messages whose dossiers are not resolved."
)
UNRESOLVED_AGE = BoardQuery(
    "unresolved_age",
    "max(portalpulse_worker_oldest_unresolved_seconds)",
    "Age of the oldest message whose dossier is not resolved, in seconds.",
)
WAITING_DOSSIERS = BoardQuery(
    "waiting_dossiers", "sum(portalpulse_worker_waiting_dossiers)", "Dossiers whose row in the table of dossiers is old."
)
WAITING_DOSSIERS_AGE = BoardQuery(
    "waiting_dossiers_age",
    "max(portalpulse_worker_oldest_waiting_dossier_seconds)",
    "Seconds that the oldest change of a dossier has waited for its row to be written.",
)
EVENT_RATE = BoardQuery(
    "event_rate", f"sum by (outcome) (rate(portalpulse_worker_events_total{_RATE}))", "Messages a second, by outcome."
)
ACKNOWLEDGED_RATE = BoardQuery(
    "acknowledged_rate", f"sum(rate(portalpulse_worker_acknowledged_events_total{_RATE}))", "Acknowledged messages a second."
)
DOSSIER_ROW_RATE = BoardQuery(
    "dossier_row_rate", f"sum(rate(portalpulse_worker_dossier_rows_total{_RATE}))", "Rows of the table of dossiers a second."
)
STORE_CALLS = BoardQuery(
    "store_calls",
    f"sum by (operation) (rate(portalpulse_worker_store_seconds_count{_RATE})) > 0",
    "Calls to the storage a second, by operation.",
    may_be_empty="nothing was stored lately",
)
STORE_ERRORS = BoardQuery(
    "store_errors",
    f'sum by (outcome) (rate(portalpulse_worker_store_seconds_count{{outcome!="ok"}}{_RATE}))',
    "Failed calls to the storage a second, by outcome.",
)
STORE_SECONDS = BoardQuery(
    "store_seconds",
    f"histogram_quantile(0.95, sum by (operation, le) (rate(portalpulse_worker_store_seconds_bucket{_RATE}))) > 0",
    "Seconds that 95 % of the calls to the storage take at most, by operation.",
    may_be_empty="nothing was stored lately",
)
DECODE_SECONDS = BoardQuery(
    "decode_seconds",
    f"histogram_quantile(0.95, sum by (le) (rate(portalpulse_worker_decode_seconds_bucket{_RATE}))) >= 0",
    "Seconds that 95 % of the batches take at most to be decoded.",
    may_be_empty="nothing was decoded lately",
)
SLOW_PATH = BoardQuery(
    "slow_path", f"sum(rate(portalpulse_worker_slow_path_events_total{_RATE}))", "Messages validated one by one, a second."
)
BULK_FAILURES = BoardQuery(
    "bulk_failures", "sum(portalpulse_worker_bulk_failures_total)", "Batches in which the bulk decoder failed."
)
UNREAD = BoardQuery(
    "unread",
    "sum(portalpulse_worker_unread_offsets_total) or 0 * max(portalpulse_worker_assigned_partitions)",
    "Offsets that Kafka deleted before they were read.",
)
ASSIGNED = BoardQuery("assigned", "sum(portalpulse_worker_assigned_partitions)", "Partitions that workers have.")
#: A portal's topic has partitions of its own: the furthest behind are enough to see.
PARTITION_LAG = BoardQuery(
    "partition_lag",
    "topk(20, max by (topic, partition) (portalpulse_partition_lag_events))",
    "Messages that are not acknowledged, of the twenty partitions with the most.",
    may_be_empty="Kafka does not answer",
)
UNREAD_PARTITIONS = BoardQuery(
    "unread_partitions",
    "count(max by (topic, partition) (portalpulse_partition_readers) == 0)"
    " or 0 * count(max by (topic, partition) (portalpulse_partition_readers))",
    "Partitions that no worker reads.",
    may_be_empty="Kafka does not answer",
)
LAST_PROGRESS = BoardQuery(
    "last_progress",
    "max by (instance) (time() - portalpulse_worker_last_progress_timestamp_seconds)",
    "Seconds since a worker last fetched, stored or had nothing to do.",
)
KAFKA_UP = BoardQuery(
    "kafka_up",
    "min(portalpulse_kafka_up)",
    "Whether Kafka answered the last round of the audit.",
    may_be_empty="no process audits",
)
STORAGE_UP = BoardQuery("storage_up", "max(portalpulse_storage_up)", "Whether the storage answered the exporter.")
STORAGE_FREE = BoardQuery(
    "storage_free",
    "floor(100 * min(portalpulse_storage_free_ratio) + 1e-6)",
    "Share of the storage's fullest disk that is free, in percent.",
    may_be_empty="the storage does not tell",
)
AUDIT_DRIFT = BoardQuery(
    "audit_drift",
    "max by (scope) (portalpulse_audit_drift_events)",
    "Events that the audit confirmed as missing or counted twice, by scope; must be 0.",
    may_be_empty="no audit has ended",
)
AUDIT_AGE = BoardQuery(
    "audit_age", "max(pipeline:audit_age:seconds) / 60", "Minutes since the last audit ended.", may_be_empty="no process audits"
)
AUDIT_FAILURES = BoardQuery("audit_failures", "sum(portalpulse_audit_failures_total)", "Audits that failed.")
FINDINGS_AGE = BoardQuery(
    "findings_age",
    "min(time() - (portalpulse_findings_last_success_timestamp_seconds > 0)) / 60",
    "Minutes since the last search for findings ended.",
    may_be_empty="no search has ended",
)
FINDINGS_FAILURES = BoardQuery(
    "findings_failures", "sum(portalpulse_findings_failures_total)", "Searches for findings that failed."
)
DEAD_LETTERS = BoardQuery(
    "dead_letters",
    "max by (reason) (portalpulse_dead_letters_total) > 0",
    "Dead-lettered messages since the start, by reason.",
    may_be_empty="there are none",
)
DEAD_LETTER_PERCENT = BoardQuery(
    "dead_letter_percent",
    "floor(1e4 * max(portalpulse_dead_letter_rows) / (max(portalpulse_received_rows) > 0) + 1e-6) / 100",
    "Share of the last hour's messages that were dead-lettered, cut.",
    may_be_empty="nothing came in the last hour",
)
DEAD_LETTER_RATIO = BoardQuery(
    "dead_letter_ratio",
    'floor(1e4 * max(pipeline:dead_letter_rows_per_received_rows:ratio{window="1h"}) + 1e-6) / 100',
    "Share of the last hour's messages that were dead-lettered, as recorded over time.",
    may_be_empty="nothing came in the last hour",
)
DEAD_LETTER_AGENCIES = BoardQuery(
    "dead_letter_agencies",
    f'max by (agency) (portalpulse_dead_letter_agency_rows{{agency!=""}}) * on (agency) group_left (name) {NAMES}',
    "Messages dead-lettered within the last hour, by the agency they name.",
    may_be_empty="no dead letter of the last hour names an agency",
)
