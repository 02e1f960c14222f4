"""Every metric: name, kind, labels and help text.

``pipeline.metrics`` and ``pipeline.serving.exporter`` create them, dashboards and rules query them, docs/metrics.md lists them.
Tests compare these places. Label sets are closed. The only units are seconds and bytes; business gauges begin with ``agency_``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    source: Literal["exporter", "worker"]


def _exporter(name: str, help_: str, *labels: str, kind: Literal["gauge", "counter"] = "gauge") -> Metric:
    return Metric(name, kind, labels, help_, "exporter")


def _worker(name: str, kind: Literal["gauge", "counter", "histogram"], help_: str, *labels: str) -> Metric:
    return Metric(name, kind, labels, help_, "worker")


AGENCY_INFO = _exporter(
    "agency_info", "Block and names of an agency in force today; the value is always 1.", "agency", "block", "name", "name_en"
)
AGENCY_KPI_NUMERATOR = _exporter(
    "agency_kpi_numerator", "Numerator of an indicator in the window (dossiers).", "agency", "kpi", "window"
)
AGENCY_KPI_DENOMINATOR = _exporter(
    "agency_kpi_denominator", "Denominator of an indicator in the window (dossiers).", "agency", "kpi", "window"
)
AGENCY_EARLIER_NUMERATOR = _exporter(
    "agency_kpi_earlier_numerator",
    "Numerator of an indicator in the same window one week earlier (dossiers).",
    "agency",
    "kpi",
    "window",
)
AGENCY_EARLIER_DENOMINATOR = _exporter(
    "agency_kpi_earlier_denominator",
    "Denominator of an indicator in the same window one week earlier (dossiers).",
    "agency",
    "kpi",
    "window",
)
AGENCY_THRESHOLD_RATIO = _exporter(
    "agency_threshold_ratio",
    "Threshold of an agency: an alert is due when the agency's ratio is below it.",
    "agency",
    "kpi",
    "window",
)
AGENCY_MIN_VOLUME = _exporter(
    "agency_min_volume",
    "Smallest denominator (dossiers) with which an agency may alert.",
    "agency",
    "kpi",
    "window",
)
AGENCY_RUNG_RATIO = _exporter(
    "agency_rung_ratio",
    "Ratios above the threshold: rung below10 is a warning limit, rung target the agency's target.",
    "agency",
    "kpi",
    "window",
    "rung",
)
AGENCY_STAND_IN_WINDOW = _exporter(
    "agency_stand_in_window",
    "A window in which an agency is judged only when shorter ones have too few dossiers; always 1.",
    "agency",
    "kpi",
    "window",
)
AGENCY_LAST_EVENT = _exporter(
    "agency_last_event_timestamp_seconds",
    "Time of the agency's newest event; absent when the agency never sent an event.",
    "agency",
)
AGENCY_QUIET_WORKING = _exporter(
    "agency_quiet_working_seconds",
    "Office hours (seconds) since the agency's newest event, or since the first day with events of any agency if it sent none.",
    "agency",
)
AGENCY_USUAL_QUIET = _exporter(
    "agency_usual_quiet_seconds",
    "Longest usual pause between days with events of an agency, in office hours (seconds); absent when it never sent an event.",
    "agency",
)
YEAR_LEFT = _exporter("portalpulse_year_left_seconds", "Time until the clock's year ends in Viet Nam.")
CLOCK = _exporter("portalpulse_clock_timestamp_seconds", "The current time of the system or the scenario.")
NEWEST_EVENT = _exporter(
    "portalpulse_newest_event_timestamp_seconds", "Time of the newest event that is not later than the clock."
)
QUIET_WORKING = _exporter(
    "portalpulse_quiet_working_seconds",
    "Office hours (seconds) since the newest event of any agency; nights, weekends and holidays count as 0.",
)
CLOCK_FIXED = _exporter("portalpulse_clock_fixed", "Whether the clock stands at the instant of a scenario (1) or moves (0).")
TALLY_LAG_ROWS = _exporter(
    "portalpulse_tally_lag_rows",
    "Stored distinct events minus tallied events (worst tier). Positive: tallies lag; negative: double counting.",
)
DEAD_LETTERS = _exporter("portalpulse_dead_letters_total", "Dead-lettered messages, by reason.", "reason", kind="counter")
DEAD_LETTER_ROWS = _exporter("portalpulse_dead_letter_rows", "Messages dead-lettered within the window.", "window")
DEAD_LETTER_AGENCY_ROWS = _exporter(
    "portalpulse_dead_letter_agency_rows",
    "Dead letters of the last hour, at most 10,000, by the agency that they name: ten agencies, the others under an empty label.",
    "agency",
)
RECEIVED_ROWS = _exporter("portalpulse_received_rows", "Messages received within the window, valid or not.", "window")
AUDIT_DRIFT = _exporter(
    "portalpulse_audit_drift_events",
    "Events by which tallies are wrong, confirmed by two comparisons; scope dossiers: messages that count wrongly. Should be 0.",
    "scope",
)
AUDIT_LAST_SUCCESS = _exporter(
    "portalpulse_audit_last_success_timestamp_seconds", "Time of the end of the last audit round; 0 before the first."
)
AUDIT_FAILURES = _exporter("portalpulse_audit_failures_total", "Audit rounds that failed.", kind="counter")
KAFKA_UP = _exporter(
    "portalpulse_kafka_up",
    "Whether Kafka answered in the last audit round (1) or not (0); absent before the first round and without an audit.",
)
KAFKA_DISK_FREE = _exporter(
    "portalpulse_kafka_disk_free_ratio",
    "Free share of the broker's fullest disk; absent when the broker does not tell: the user needs DESCRIBE on the cluster.",
    "broker",
)
PARTITION_LAG = _exporter(
    "portalpulse_partition_lag_events",
    "Messages of a partition that no worker has acknowledged, whether it is read or not; absent while Kafka does not answer.",
    "topic",
    "partition",
)
PARTITION_READERS = _exporter(
    "portalpulse_partition_readers",
    "Whether a worker reads a partition (1) or none does (0); absent while Kafka does not answer or is assigning partitions.",
    "topic",
    "partition",
)
AGENCY_FINDINGS = _exporter(
    "agency_findings",
    "Dossiers with a finding on the clock's civil day, by kind; absent until the first search of the day has ended.",
    "agency",
    "kind",
)
AGENCY_ACCEPTED_LATE = _exporter(
    "agency_accepted_late_dossiers",
    "Dossiers registered online within the last seven days whose last day of an answer is over, that were accepted late.",
    "agency",
)
AGENCY_REGISTERED_ONLINE = _exporter(
    "agency_registered_online_dossiers",
    "All dossiers registered online on the days of agency_accepted_late_dossiers; absent until the day's first search has ended.",
    "agency",
)
FINDINGS_LAST_SUCCESS = _exporter(
    "portalpulse_findings_last_success_timestamp_seconds", "Time of the end of the last search for findings; 0 before the first."
)
FINDINGS_FAILURES = _exporter("portalpulse_findings_failures_total", "Searches for findings that failed.", kind="counter")
STORAGE_FREE = _exporter(
    "portalpulse_storage_free_ratio", "Free share of the storage's fullest disk; absent when the storage does not tell."
)
STORAGE_UP = _exporter(
    "portalpulse_storage_up",
    "Whether the storage answered during this scrape (1) or not (0); when 0, all metrics read from it are absent.",
)
BUILD_INFO = _exporter("portalpulse_build_info", "The running version; always 1.", "version")

WORKER_EVENTS = _worker("portalpulse_worker_events_total", "counter", "Messages fetched from Kafka, by outcome.", "outcome")
WORKER_ACKNOWLEDGED = _worker(
    "portalpulse_worker_acknowledged_events_total", "counter", "Messages acknowledged to Kafka, after every tier counted them."
)
WORKER_UNACKNOWLEDGED = _worker(
    "portalpulse_worker_unacknowledged_events", "gauge", "Messages fetched from Kafka and not yet acknowledged."
)
WORKER_UNTALLIED = _worker(
    "portalpulse_worker_untallied_events",
    "gauge",
    "Messages fetched from Kafka that are not yet tallied by minute and day, or whose dossiers are not resolved.",
)
WORKER_UNRESOLVED = _worker(
    "portalpulse_worker_unresolved_messages", "gauge", "Stored messages whose dossiers are not resolved yet."
)
WORKER_UNRESOLVED_AGE = _worker(
    "portalpulse_worker_oldest_unresolved_seconds",
    "gauge",
    "Age of the oldest stored message whose dossier is not resolved yet; 0 when there is none.",
)
WORKER_DOSSIERS_WAITING = _worker(
    "portalpulse_worker_waiting_dossiers",
    "gauge",
    "Dossiers whose row in the table of dossiers is missing or older than their last change.",
)
WORKER_DOSSIERS_WAITING_AGE = _worker(
    "portalpulse_worker_oldest_waiting_dossier_seconds",
    "gauge",
    "Age of the oldest change of a dossier that its row does not have yet; 0 when there is none.",
)
WORKER_DOSSIER_ROWS = _worker(
    "portalpulse_worker_dossier_rows_total", "counter", "Rows that this worker wrote to the table of dossiers."
)
WORKER_UNSTORED = _worker("portalpulse_worker_unstored_events", "gauge", "Messages that are held in memory and not yet stored.")
WORKER_STORE_SECONDS = _worker(
    "portalpulse_worker_store_seconds", "histogram", "Time of one call to the storage.", "operation", "outcome"
)
WORKER_DECODE_SECONDS = _worker("portalpulse_worker_decode_seconds", "histogram", "Time to decode one batch.")
WORKER_SLOW_PATH_EVENTS = _worker(
    "portalpulse_worker_slow_path_events_total",
    "counter",
    "Messages validated one by one because the bulk decoder could not decide.",
)
WORKER_BULK_FAILURES = _worker(
    "portalpulse_worker_bulk_failures_total",
    "counter",
    "Batches validated message by message because the bulk decoder failed with an unexpected error.",
)
WORKER_CONSUMER_LAG = _worker(
    "portalpulse_worker_consumer_lag_events", "gauge", "Messages in assigned partitions not yet fetched."
)
WORKER_ASSIGNED = _worker("portalpulse_worker_assigned_partitions", "gauge", "Partitions assigned to this worker.")
WORKER_UNREAD = _worker(
    "portalpulse_worker_unread_offsets_total",
    "counter",
    "Offsets that Kafka removed before they were read; their messages may be lost.",
    "topic",
    "partition",
)
WORKER_LAST_PROGRESS = _worker(
    "portalpulse_worker_last_progress_timestamp_seconds",
    "gauge",
    "Time at which the worker last fetched, stored or had nothing to do.",
)

#: Every metric by name.
METRICS: dict[str, Metric] = {metric.name: metric for metric in list(globals().values()) if isinstance(metric, Metric)}
