"""Removing one condition from a rule makes the promtool test of that condition fail.

This detects promtool tests that no longer test anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.rule_cases import outputs_of, written

FIRING = 'and on (agency, kpi, window, rung) ALERTS{alertname="AgencyRateLow", alertstate="firing"}'
#: The end of what starts and of what ends AgencyAcceptedLate, without its conditions on the pipeline.
_FRESH = "and on () pipeline:freshness:seconds < 600"
_YOUNG = "and on () pipeline:findings_age:seconds < 3600"
_LATE = f"agency:registered_online:max >= 100)\n        {_FRESH}\n        {_YOUNG}"
_NOT_LATE = f"((agency:accepted_late:ratio <= 0.09))\n          {_FRESH}\n          {_YOUNG}"


@dataclass(frozen=True)
class Mutant:
    what: str
    file: str
    old: str
    new: str
    test: str  # name of the promtool test that must fail


MUTANTS = [
    Mutant(
        "a missing numerator is 0",
        "agency.yml",
        " or agency:kpi_denominator:max * 0",
        "",
        "a zero numerator fires",
    ),
    Mutant(
        "an empty window has no rate",
        "agency.yml",
        "agency:kpi_numerator:max / (agency:kpi_denominator:max > 0)",
        "clamp_min(agency:kpi_numerator:max / clamp_min(agency:kpi_denominator:max, 1), 0)",
        "an empty window is silent",
    ),
    Mutant(
        "replicas are not added",
        "agency.yml",
        "max by (agency, kpi, window) (last_over_time(agency_kpi_denominator[2m]))",
        "sum by (agency, kpi, window) (last_over_time(agency_kpi_denominator[2m]))",
        "two replicas are one agency",
    ),
    Mutant(
        "thresholds belong to a window",
        "agency.yml",
        "agency:kpi:ratio < on (agency, kpi, window) group_right () agency:kpi_rung:ratio",
        "agency:kpi:ratio < on (agency, kpi, window) group_right () (agency:kpi_rung:ratio * 0"
        " + on (agency, kpi, rung) group_left () max by (agency, kpi, rung) (agency:kpi_rung:ratio))",
        "each window has its own threshold",
    ),
    Mutant(
        "strictly below",
        "agency.yml",
        "agency:kpi:ratio < on (agency, kpi, window) group_right () agency:kpi_rung:ratio",
        "agency:kpi:ratio <= on (agency, kpi, window) group_right () agency:kpi_rung:ratio",
        "exactly the threshold is silent",
    ),
    Mutant(
        "enough dossiers",
        "agency.yml",
        "agency:kpi_denominator:max >= on (agency, kpi, window)",
        "agency:kpi_denominator:max + 1 >= on (agency, kpi, window)",
        "volume guard, 29 silent and 30 fires",
    ),
    Mutant(
        "fresh data",
        "agency.yml",
        "    and on () pipeline:freshness:seconds < 600\n",
        "",
        "a stalled pipeline starts no alert",
    ),
    Mutant(
        "no backlog",
        "agency.yml",
        "    unless on () pipeline:backlog:events > 30000\n",
        "",
        "a half-loaded backlog starts no alert",
    ),
    Mutant(
        "a stall ends nothing",
        "agency.yml",
        "          pipeline:freshness:seconds >= 600\n          or\n          pipeline:backlog:events > 30000\n",
        "          pipeline:backlog:events > 30000\n",
        "figures that are not whole end nothing",
    ),
    Mutant(
        "a backlog ends nothing",
        "agency.yml",
        "          pipeline:freshness:seconds >= 600\n          or\n          pipeline:backlog:events > 30000\n",
        "          pipeline:freshness:seconds >= 600\n",
        "figures that are not whole end nothing",
    ),
    Mutant(
        "a stall ends what a new year ends",
        "agency.yml",
        "events > 30000\n        )\n        unless on (agency, kpi, window) agency:kpi_too_few_in_period:count\n",
        "events > 30000\n        )\n",
        "figures that are not whole end nothing",
    ),
    Mutant(
        "the backlog includes Kafka",
        "pipeline.yml",
        "sum(last_over_time(portalpulse_worker_consumer_lag_events[2m]))",
        "max(last_over_time(portalpulse_worker_consumer_lag_events[2m]))",
        "a half-loaded backlog starts no alert",
    ),
    Mutant("for", "agency.yml", "    for: 10m\n", "", "a short dip does not fire"),
    Mutant(
        "holds in the deadband",
        "agency.yml",
        f"group_right () agency:kpi_rung_clear:ratio\n        {FIRING}",
        f"group_right () agency:kpi_rung:ratio\n        {FIRING}",
        "holds in the deadband and clears above it",
    ),
    Mutant(
        "the deadband holds only what fires",
        "agency.yml",
        f"group_right () agency:kpi_rung_clear:ratio\n        {FIRING}",
        "group_right () agency:kpi_rung_clear:ratio",
        "holds in the deadband and clears above it",
    ),
    Mutant(
        "the deadband ends at a round number",
        "agency.yml",
        'round(agency:kpi_rung:ratio{rung!="zero"} + 0.01, 1e-6)',
        '(agency:kpi_rung:ratio{rung!="zero"} + 0.01)',
        "holds in the deadband and clears above it",
    ),
    Mutant(
        "an empty window holds",
        "agency.yml",
        f"agency:kpi_rung:ratio\n        {FIRING}\n        unless on (agency, kpi, window) (agency:kpi:ratio",
        f"agency:kpi_nothing:ratio\n        {FIRING}\n        unless on (agency, kpi, window) (agency:kpi:ratio",
        "no data is not a recovery",
    ),
    Mutant(
        "a failed scrape does not reset the wait",
        "agency.yml",
        "max by (agency, kpi, window) (last_over_time(agency_kpi_denominator[2m]))",
        "max by (agency, kpi, window) (agency_kpi_denominator)",
        "failed scrapes delay no alert",
    ),
    Mutant(
        "a failed scrape does not hide that data are fresh",
        "pipeline.yml",
        "max(last_over_time(portalpulse_newest_event_timestamp_seconds[2m]))",
        "max(portalpulse_newest_event_timestamp_seconds)",
        "failed scrapes delay no alert",
    ),
    Mutant(
        "no exporter holds",
        "agency.yml",
        "group by (agency, kpi, window, rung, severity) (ALERTS",
        "group by (agency, kpi, window, rung, severity) (NOTHING",
        "an exporter that is gone ends nothing",
    ),
    Mutant(
        "an exporter that answers without the agency does not hold",
        "agency.yml",
        "        unless on () agency:kpi_threshold:ratio",
        "        unless on (agency) agency:kpi_threshold:ratio",
        "an exporter that is gone ends nothing",
    ),
    Mutant(
        "a new period does not hold in the deadband",
        "agency.yml",
        "        unless on (agency, kpi, window) agency:kpi_too_few_in_period:count\n",
        "",
        "a new year ends the alert of the old one",
    ),
    Mutant(
        "an empty new period does not hold",
        "agency.yml",
        "(agency:kpi:ratio or agency:kpi_too_few_in_period:count)",
        "agency:kpi:ratio",
        "a new year ends the alert of the old one",
    ),
    Mutant(
        "the last 24 hours never begin",
        "agency.yml",
        'agency:kpi_denominator:max{window=~"month|ytd"}',
        "agency:kpi_denominator:max",
        "no data is not a recovery",
    ),
    Mutant("keep_firing_for", "agency.yml", "    keep_firing_for: 15m\n", "", "a short recovery ends nothing"),
    Mutant(
        "rates are cut",
        "agency.yml",
        '+ 1e-6) / 100" $of | query }}{{ . | first',
        '+ 1e-6) / 100 + 0.005" $of | query }}{{ . | first',
        "not yet at nine minutes, fires at ten",
    ),
    Mutant(
        "a rung of zero is a true zero",
        "agency.yml",
        "* 0 + 1e-9",
        "* 0 + 0.01",
        "rungs end one after the other",
    ),
    Mutant(
        "below 10 % warns",
        "agency.yml",
        '"severity", "warning", "rung", "below10"',
        '"severity", "critical", "rung", "below10"',
        "each rung starts strictly below its limit",
    ),
    Mutant(
        "a target informs",
        "agency.yml",
        '"severity", "info", "rung", "target"',
        '"severity", "warning", "rung", "target"',
        "each rung starts strictly below its limit",
    ),
    Mutant(
        "a year is never critical",
        "agency.yml",
        '"severity", "warning", "rung", "zero|below5|below10"',
        '"severity", "critical", "rung", "zero|below5|below10"',
        "a year wakes nobody",
    ),
    Mutant(
        "a zero ends with one dossier",
        "agency.yml",
        '\n      or\n      agency:kpi_rung:ratio{rung="zero"}',
        '\n      or\n      agency:kpi_rung:ratio{rung="zero"} + 0.01',
        "rungs end one after the other",
    ),
    Mutant(
        "each rung holds for itself",
        "agency.yml",
        "group_right () agency:kpi_rung_clear:ratio\n        and on (agency, kpi, window, rung)",
        "group_right () agency:kpi_rung_clear:ratio\n        and on (agency, kpi, window)",
        "a rung of a higher limit holds in its own deadband",
    ),
    Mutant(
        "a week stands in for a day",
        "agency.yml",
        'agency:kpi_enough:count{window="1d"}',
        'agency:kpi_enough:count{window="1h"}',
        "a small agency is judged by the first window that holds enough",
    ),
    Mutant(
        "30 days stand in for a week",
        "agency.yml",
        'agency:kpi_enough:count{window="7d"}',
        'agency:kpi_enough:count{window="1h"}',
        "a small agency is judged by the first window that holds enough",
    ),
    Mutant(
        "only stand-ins are idle",
        "agency.yml",
        "max by (agency, kpi, window) (last_over_time(agency_stand_in_window[2m]))",
        "max by (agency, kpi, window) (last_over_time(agency_min_volume[2m]))",
        "a window with a policy of its own does not stand in",
    ),
    Mutant(
        "the deficit counts in the denominator",
        "agency.yml",
        "/ ((1 - agency:kpi_threshold:ratio) > 0)",
        "",
        "the deficit is exact",
    ),
    Mutant(
        "an exporter that is gone is told",
        "pipeline.yml",
        "absent(last_over_time(portalpulse_storage_up[2m]))\n    for",
        "vector(0) > 1\n    for",
        "an exporter that is gone is told within four minutes",
    ),
    Mutant(
        "a failed scrape is bridged: exporter",
        "pipeline.yml",
        "expr: absent(last_over_time(portalpulse_storage_up[2m]))\n    for: 1m",
        "expr: absent(portalpulse_storage_up)\n",
        "a failed scrape is not an outage",
    ),
    Mutant(
        "a failed scrape is bridged: worker",
        "pipeline.yml",
        "absent(last_over_time(portalpulse_worker_assigned_partitions[2m]))\n"
        "      unless on () absent(last_over_time(portalpulse_storage_up[2m]))",
        "absent(portalpulse_worker_assigned_partitions)",
        "one process that serves all is one message",
    ),
    Mutant(
        "one answer of the storage is enough",
        "pipeline.yml",
        "max(max_over_time(portalpulse_storage_up[2m])) == 0",
        "min(max_over_time(portalpulse_storage_up[2m])) == 0",
        "a storage that does not answer is told",
    ),
    Mutant(
        "a late answer of the storage is bridged",
        "pipeline.yml",
        "max(max_over_time(portalpulse_storage_up[2m])) == 0",
        "max(min_over_time(portalpulse_storage_up[2m])) == 0",
        "a storage that does not answer is told",
    ),
    Mutant(
        "without Kafka workers end",
        "pipeline.yml",
        '      unless on () ALERTS{alertname="KafkaDown", alertstate="firing"}\n    for: 1m',
        "    for: 1m",
        "Kafka that does not answer is one message",
    ),
    Mutant(
        "Kafka is told",
        "pipeline.yml",
        "max(max_over_time(portalpulse_kafka_up[2m])) == 0",
        "max(max_over_time(portalpulse_kafka_up[2m])) < 0",
        "Kafka that does not answer is one message",
    ),
    Mutant(
        "no worker is told",
        "pipeline.yml",
        "absent(last_over_time(portalpulse_worker_assigned_partitions[2m]))\n      unless",
        "(vector(0) > 1)\n      unless",
        "no worker is told",
    ),
    Mutant(
        "a rebalance is not told",
        "pipeline.yml",
        "    for: 5m\n    keep_firing_for: 2m",
        "    keep_firing_for: 2m",
        "workers without partitions are told",
    ),
    Mutant(
        "partitions of all workers",
        "pipeline.yml",
        "sum(max_over_time(portalpulse_worker_assigned_partitions[2m])) == 0",
        "max(max_over_time(portalpulse_worker_assigned_partitions[2m])) < 0",
        "workers without partitions are told",
    ),
    Mutant(
        "events that came once are not none",
        "pipeline.yml",
        "    unless on () last_over_time(portalpulse_newest_event_timestamp_seconds[2m])\n",
        "",
        "a system without any event is told",
    ),
    Mutant(
        "at night nobody is paged",
        "pipeline.yml",
        "and on () pipeline:quiet_working:seconds > 600",
        "",
        "a quiet night pages nobody",
    ),
    Mutant(
        "a quiet night is told",
        "pipeline.yml",
        'unless on () pipeline:quiet_working:seconds > 600), "severity", "info"',
        'unless on () pipeline:freshness:seconds), "severity", "info"',
        "a quiet night pages nobody",
    ),
    Mutant(
        "a scenario stands still",
        "pipeline.yml",
        "(1 - (max(last_over_time(portalpulse_clock_fixed[2m])) or vector(0)))",
        "1",
        "a scenario's constant clock is not a stall",
    ),
    Mutant(
        "a lag at its limit is not told",
        "pipeline.yml",
        "expr: pipeline:lag:events > 30000",
        "expr: pipeline:lag:events >= 30000",
        "a backlog at its limit mutes nothing",
    ),
    Mutant(
        "a lag is told",
        "pipeline.yml",
        "expr: pipeline:lag:events > 30000",
        "expr: pipeline:lag:events > 300000",
        "a lag that mutes agencies is told",
    ),
    Mutant(
        "a backlog is told",
        "pipeline.yml",
        "      pipeline:backlog:events > 30000\n",
        "      pipeline:backlog:events > 300000\n",
        "a backlog in workers is told",
    ),
    Mutant(
        "a lag is one message",
        "pipeline.yml",
        "      unless on () pipeline:lag:events > 30000\n",
        "",
        "a lag that mutes agencies is told",
    ),
    Mutant(
        "a lag that shrinks is fine",
        "pipeline.yml",
        "      and deriv(pipeline:lag:events[15m]) > 0\n",
        "",
        "a lag that shrinks is not told",
    ),
    Mutant(
        "a small lag may grow",
        "pipeline.yml",
        "min_over_time(pipeline:lag:events[15m]) > 1000",
        "min_over_time(pipeline:lag:events[15m]) > 0",
        "a lag that grows is told before it mutes",
    ),
    Mutant(
        "a worker that acknowledges works",
        "pipeline.yml",
        "      and on () sum(increase(portalpulse_worker_acknowledged_events_total[10m])) == 0\n",
        "",
        "acknowledgements that stand still are told",
    ),
    Mutant(
        "a worker without work does not stand still",
        "pipeline.yml",
        "min_over_time(pipeline:in_flight:events[10m]) > 0",
        "min_over_time(pipeline:in_flight:events[10m]) >= 0",
        "a worker without work does not stand still",
    ),
    Mutant(
        "procedures that lag are told",
        "pipeline.yml",
        "(pipeline:in_flight:events - pipeline:untallied:events) > 30000",
        "(pipeline:in_flight:events - pipeline:untallied:events) > 300000",
        "a lag of procedures alone mutes nothing and is told",
    ),
    Mutant(
        "confirmed drift is wrong whatever is in hand",
        "pipeline.yml",
        "expr: pipeline:audit_drift:events > 0",
        "expr: pipeline:audit_drift:events > on () pipeline:in_flight:events",
        "drift found by the audit fires",
    ),
    Mutant(
        "drift in both directions",
        "pipeline.yml",
        "max(abs(last_over_time(portalpulse_audit_drift_events[2m])))",
        "max(last_over_time(portalpulse_audit_drift_events[2m]))",
        "drift found by the audit fires",
    ),
    Mutant(
        "an audit that sometimes fails works",
        "pipeline.yml",
        "      and on () max(changes(portalpulse_audit_last_success_timestamp_seconds[15m])) == 0\n",
        "",
        "an audit that sometimes fails is not told",
    ),
    Mutant(
        "an audit that always fails",
        "pipeline.yml",
        "max(increase(portalpulse_audit_failures_total[15m])) > 0",
        "max(increase(portalpulse_audit_failures_total[15m])) > 1e9",
        "an audit that always fails is told",
    ),
    Mutant(
        "an audit that hangs",
        "pipeline.yml",
        "pipeline:audit_age:seconds > 7200",
        "pipeline:audit_age:seconds > 72000",
        "an audit that hangs is told",
    ),
    Mutant(
        "calls that succeed are not errors",
        "pipeline.yml",
        '{outcome=~"retryable|unknown"}',
        "",
        "a few failed calls are not told",
    ),
    Mutant(
        "a few errors are not told",
        "pipeline.yml",
        "[10m])) > 5",
        "[10m])) > 0",
        "a few failed calls are not told",
    ),
    Mutant(
        "messages lost are told for an hour",
        "pipeline.yml",
        "(sum(portalpulse_worker_unread_offsets_total offset 1h) or vector(0))",
        "(vector(0))",
        "messages that Kafka dropped are told for an hour",
    ),
    Mutant(
        "a first loss is told",
        "pipeline.yml",
        "(sum(portalpulse_worker_unread_offsets_total offset 1h) or vector(0))",
        "sum(portalpulse_worker_unread_offsets_total offset 1h)",
        "messages that Kafka dropped are told for an hour",
    ),
    Mutant(
        "the limit of the disk",
        "pipeline.yml",
        "portalpulse_storage_free_ratio[2m])) < 0.1",
        "portalpulse_storage_free_ratio[2m])) <= 0.1",
        "a disk that fills is told",
    ),
    Mutant(
        "a storage that tells its disk is not told",
        "pipeline.yml",
        "\n      unless on () last_over_time(portalpulse_storage_free_ratio[2m])",
        "",
        "a disk that is not known is told",
    ),
    Mutant(
        "a storage that does not answer is not one without a disk",
        "pipeline.yml",
        "max(max_over_time(portalpulse_storage_up[2m])) == 1\n      unless on () last_over_time(portalpulse_storage_free",
        "max(max_over_time(portalpulse_storage_up[2m])) >= 0\n      unless on () last_over_time(portalpulse_storage_free",
        "a disk that is not known is told",
    ),
    Mutant(
        "the limit of Kafka's disk",
        "pipeline.yml",
        "portalpulse_kafka_disk_free_ratio[2m]))) < 10",
        "portalpulse_kafka_disk_free_ratio[2m]))) <= 10",
        "a disk of Kafka that fills is told",
    ),
    Mutant(
        "each broker has its own disk",
        "pipeline.yml",
        "min by (broker) (last_over_time(portalpulse_kafka_disk_free_ratio[2m]))",
        "max by (broker) (last_over_time(portalpulse_kafka_disk_free_ratio[2m]))",
        "a disk of Kafka that fills is told",
    ),
    Mutant(
        "one failed scrape in ten is not told",
        "meta.yml",
        "floor(100 * avg_over_time(up[10m])) < 80",
        "floor(100 * avg_over_time(up[10m])) < 100",
        "scrapes that fail are told",
    ),
    Mutant(
        "scrapes that fail are told",
        "meta.yml",
        "floor(100 * avg_over_time(up[10m])) < 80",
        "floor(100 * avg_over_time(up[10m])) < 0",
        "scrapes that fail are told",
    ),
    Mutant(
        "scrapes missed in an outage are told as the outage",
        "meta.yml",
        'last_over_time(ALERTS{alertname=~"ExporterDown|ClickHouseDown|KafkaDown|WorkerDown|NoPartitionsAssigned", '
        'alertstate="firing"}[10m])',
        'ALERTS{alertname=~"ExporterDown|ClickHouseDown|KafkaDown|WorkerDown|NoPartitionsAssigned", alertstate="firing"}',
        "scrapes of an exporter that was down are told once",
    ),
    Mutant(
        "calls refused in an outage are told as the outage",
        "pipeline.yml",
        'last_over_time(ALERTS{alertname="ClickHouseDown", alertstate="firing"}[10m])',
        'ALERTS{alertname="ClickHouseDown", alertstate="firing"}',
        "calls to a storage that was down are told once",
    ),
    Mutant(
        "rules that fail are told",
        "meta.yml",
        "prometheus_rule_evaluation_failures_total",
        "nothing_total",
        "rules that fail are told",
    ),
    Mutant(
        "two missed evaluations are not told",
        "meta.yml",
        "        > 2\n",
        "        > 0\n",
        "evaluations that are missed are told",
    ),
    Mutant(
        "mails that fail are told",
        "meta.yml",
        "alertmanager_notifications_failed_total",
        "nothing_total",
        "mails that fail are told",
    ),
    Mutant(
        "a hand-over that fails is told",
        "meta.yml",
        "prometheus_notifications_errors_total",
        "nothing_total",
        "alerts that Prometheus cannot hand over are told",
    ),
    Mutant(
        "a dropped alert is told",
        "meta.yml",
        "prometheus_notifications_dropped_total",
        "nothing_total",
        "alerts that Prometheus drops are told",
    ),
    Mutant(
        "a start drops alerts",
        "meta.yml",
        "        unless on (job, instance) changes(process_start_time_seconds[10m]) > 0\n",
        "",
        "what Prometheus drops when it starts is not told",
    ),
    Mutant(
        "a missing Alertmanager is told",
        "meta.yml",
        "[10m]) < 1",
        "[10m]) < 0",
        "a Prometheus without an Alertmanager is told",
    ),
    Mutant(
        "a refused configuration is told",
        "meta.yml",
        "alertmanager_config_last_reload_successful",
        "nothing",
        "a refused configuration is told",
    ),
    Mutant(
        "what waits in workers is a backlog",
        "pipeline.yml",
        " + pipeline:untallied:events",
        "",
        "a half-loaded backlog starts no alert",
    ),
    Mutant(
        "what waits only for its acknowledgement is not a backlog",
        "pipeline.yml",
        " + pipeline:untallied:events",
        " + pipeline:in_flight:events",
        "what is tallied and not yet acknowledged delays no alert",
    ),
    Mutant(
        "missing configuration per window",
        "pipeline.yml",
        "    unless on (agency, kpi, window)\n",
        "    unless on (agency, kpi)\n",
        "a threshold for one window only is reported",
    ),
    Mutant(
        "five points are enough",
        "agency.yml",
        'agency:kpi_change:points{window="7d"} <= -0.049999999',
        'agency:kpi_change:points{window="7d"} < -0.050000001',
        "a drop of five points in a week is told",
    ),
    Mutant(
        "less than five points are not",
        "agency.yml",
        'agency:kpi_change:points{window="7d"} <= -0.049999999',
        'agency:kpi_change:points{window="7d"} <= -0.0495',
        "a drop of five points in a week is told",
    ),
    Mutant(
        "points are of a week",
        "agency.yml",
        '(agency:kpi_change:points{window="7d"} <= -0.049999999',
        "(agency:kpi_change:points <= -0.049999999",
        "half the rate of the same weekday is told",
    ),
    Mutant(
        "a half is enough",
        "agency.yml",
        'agency:kpi_change:ratio{window="1d"} <= 0.500000001',
        'agency:kpi_change:ratio{window="1d"} < 0.499999999',
        "half the rate of the same weekday is told",
    ),
    Mutant(
        "more than a half is not",
        "agency.yml",
        'agency:kpi_change:ratio{window="1d"} <= 0.500000001',
        'agency:kpi_change:ratio{window="1d"} <= 0.53',
        "half the rate of the same weekday is told",
    ),
    Mutant(
        "a half is of a day",
        "agency.yml",
        'agency:kpi_change:ratio{window="1d"} <= 0.500000001',
        "agency:kpi_change:ratio <= 0.500000001",
        "a drop of five points in a week is told",
    ),
    Mutant(
        "a week has 2,000 dossiers now",
        "agency.yml",
        'agency:kpi_denominator:max{window="7d"} >= 2000',
        'agency:kpi_denominator:max{window="7d"} >= 1999',
        "a drop of five points in a week is told",
    ),
    Mutant(
        "a week has 2,000 dossiers before",
        "agency.yml",
        'agency:kpi_earlier_denominator:max{window="7d"} >= 2000',
        'agency:kpi_earlier_denominator:max{window="7d"} >= 1999',
        "a drop of five points in a week is told",
    ),
    Mutant(
        "a day has 200 dossiers now",
        "agency.yml",
        'agency:kpi_denominator:max{window="1d"} >= 200 ',
        'agency:kpi_denominator:max{window="1d"} >= 199 ',
        "half the rate of the same weekday is told",
    ),
    Mutant(
        "a day has 200 dossiers before",
        "agency.yml",
        'agency:kpi_earlier_denominator:max{window="1d"} >= 200',
        'agency:kpi_earlier_denominator:max{window="1d"} >= 199',
        "half the rate of the same weekday is told",
    ),
    Mutant(
        "a drop needs a policy",
        "agency.yml",
        "\n        and on (agency, kpi) agency:kpi_threshold:ratio)",
        ")",
        "a drop of five points in a week is told",
    ),
    Mutant(
        "a drop ends",
        "agency.yml",
        "(agency:kpi_not_dropped:points)",
        "(agency:kpi_nothing:points)",
        "a drop holds in its deadband and ends above it",
    ),
    Mutant(
        "a drop holds up to four points",
        "agency.yml",
        '{window="7d"} > -0.039999999',
        '{window="7d"} > -0.040000001',
        "a drop holds in its deadband and ends above it",
    ),
    Mutant(
        "a drop holds up to six tenths",
        "agency.yml",
        '{window="1d"} > 0.600000001',
        '{window="1d"} > 0.599999999',
        "a drop holds in its deadband and ends above it",
    ),
    Mutant(
        "a drop ends above four points",
        "agency.yml",
        '{window="7d"} > -0.039999999',
        '{window="7d"} > -0.039',
        "a drop holds in its deadband and ends above it",
    ),
    Mutant(
        "a drop ends above six tenths",
        "agency.yml",
        '{window="1d"} > 0.600000001',
        '{window="1d"} > 0.65',
        "a drop holds in its deadband and ends above it",
    ),
    Mutant(
        "few dossiers of a day end nothing",
        "agency.yml",
        'agency:kpi_denominator:max{window="1d"} >= 30 ',
        'agency:kpi_denominator:max{window="1d"} >= 29 ',
        "few dossiers end no drop",
    ),
    Mutant(
        "few dossiers of an earlier day end nothing",
        "agency.yml",
        'agency:kpi_earlier_denominator:max{window="1d"} >= 30\n',
        'agency:kpi_earlier_denominator:max{window="1d"} >= 29\n',
        "few dossiers end no drop",
    ),
    Mutant(
        "few dossiers of a week end nothing",
        "agency.yml",
        'agency:kpi_denominator:max{window="7d"} >= 30 ',
        'agency:kpi_denominator:max{window="7d"} >= 29 ',
        "few dossiers end no drop",
    ),
    Mutant(
        "a zero one week ago ends a drop",
        "agency.yml",
        '\n        or\n        agency:kpi_earlier:ratio{window="1d"} == 0',
        "",
        "a drop ends when one week ago was low",
    ),
    Mutant(
        "a stall starts no drop",
        "agency.yml",
        "\n        and on (agency, kpi) agency:kpi_threshold:ratio)\n        and on () pipeline:freshness:seconds < 600",
        "\n        and on (agency, kpi) agency:kpi_threshold:ratio)",
        "a stall and a backlog start no change",
    ),
    Mutant(
        "a backlog starts no drop",
        "agency.yml",
        "\n"
        "        and on (agency, kpi) agency:kpi_threshold:ratio)\n"
        "        and on () pipeline:freshness:seconds < 600\n"
        "        unless on () pipeline:backlog:events > 30000",
        "\n        and on (agency, kpi) agency:kpi_threshold:ratio)\n        and on () pipeline:freshness:seconds < 600",
        "a stall and a backlog start no change",
    ),
    Mutant(
        "a drop holds without the storage",
        "agency.yml",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyRateDropped", alertstate="firing"})\n'
        "        unless on () agency:kpi_denominator:max",
        "nothing",
        "storage and exporter that do not answer end nothing",
    ),
    Mutant(
        "a drop ends with the agency",
        "agency.yml",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyRateDropped", alertstate="firing"})\n'
        "        and on (agency, kpi, window) agency:kpi_denominator:max\n",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyRateDropped", alertstate="firing"})\n',
        "an agency that leaves the registry ends every alert",
    ),
    Mutant(
        "twice is enough",
        "agency.yml",
        "agency:kpi_change:ratio >= 1.999999999",
        "agency:kpi_change:ratio > 2.000000001",
        "a rate that doubles is told",
    ),
    Mutant(
        "less than twice is not",
        "agency.yml",
        "agency:kpi_change:ratio >= 1.999999999",
        "agency:kpi_change:ratio >= 1.99",
        "a rate that doubles is told",
    ),
    Mutant(
        "a surge has five points",
        "agency.yml",
        "agency:kpi_change:points >= 0.049999999",
        "agency:kpi_change:points >= 0.0494",
        "a rate that doubles is told",
    ),
    Mutant(
        "five points are enough for a surge",
        "agency.yml",
        "agency:kpi_change:points >= 0.049999999",
        "agency:kpi_change:points > 0.050000001",
        "a rate that doubles is told",
    ),
    Mutant(
        "a surge has enough dossiers",
        "agency.yml",
        "agency:kpi_change:points >= 0.049999999\n        and on (agency, kpi, window) agency:kpi_comparable:count",
        "agency:kpi_change:points >= 0.049999999",
        "a rate that doubles is told",
    ),
    Mutant(
        "from zero there is no surge",
        "agency.yml",
        "(agency:kpi_earlier:ratio > 0)",
        "clamp_min(agency:kpi_earlier:ratio, 0.001)",
        "a rate that doubles is told",
    ),
    Mutant(
        "a surge needs a policy",
        "agency.yml",
        "agency:kpi_change:points >= 0.049999999\n"
        "        and on (agency, kpi, window) agency:kpi_comparable:count\n"
        "        and on (agency, kpi) agency:kpi_threshold:ratio)",
        "agency:kpi_change:points >= 0.049999999\n        and on (agency, kpi, window) agency:kpi_comparable:count)",
        "a rate that doubles is told",
    ),
    Mutant(
        "a surge ends",
        "agency.yml",
        "(agency:kpi_not_surged:ratio)",
        "(agency:kpi_nothing:ratio)",
        "a surge holds in its deadband and ends below it",
    ),
    Mutant(
        "a surge holds down to 1.9",
        "agency.yml",
        "agency:kpi_change:ratio < 1.899999999",
        "agency:kpi_change:ratio < 1.900000001",
        "a surge holds in its deadband and ends below it",
    ),
    Mutant(
        "a surge holds down to four points",
        "agency.yml",
        "agency:kpi_change:points < 0.039999999",
        "agency:kpi_change:points < 0.040000001",
        "a surge holds in its deadband and ends below it",
    ),
    Mutant(
        "a stall starts no surge",
        "agency.yml",
        "agency:kpi_change:points >= 0.049999999\n"
        "        and on (agency, kpi, window) agency:kpi_comparable:count\n"
        "        and on (agency, kpi) agency:kpi_threshold:ratio)\n"
        "        and on () pipeline:freshness:seconds < 600",
        "agency:kpi_change:points >= 0.049999999\n"
        "        and on (agency, kpi, window) agency:kpi_comparable:count\n"
        "        and on (agency, kpi) agency:kpi_threshold:ratio)",
        "a stall and a backlog start no change",
    ),
    Mutant(
        "a backlog starts no surge",
        "agency.yml",
        "agency:kpi_change:points >= 0.049999999\n"
        "        and on (agency, kpi, window) agency:kpi_comparable:count\n"
        "        and on (agency, kpi) agency:kpi_threshold:ratio)\n"
        "        and on () pipeline:freshness:seconds < 600\n"
        "        unless on () pipeline:backlog:events > 30000",
        "agency:kpi_change:points >= 0.049999999\n"
        "        and on (agency, kpi, window) agency:kpi_comparable:count\n"
        "        and on (agency, kpi) agency:kpi_threshold:ratio)\n"
        "        and on () pipeline:freshness:seconds < 600",
        "a stall and a backlog start no change",
    ),
    Mutant(
        "a surge holds without the storage",
        "agency.yml",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyRateSurged", alertstate="firing"})\n'
        "        unless on () agency:kpi_denominator:max",
        "nothing",
        "storage and exporter that do not answer end nothing",
    ),
    Mutant(
        "a surge ends with the agency",
        "agency.yml",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyRateSurged", alertstate="firing"})\n'
        "        and on (agency, kpi, window) agency:kpi_denominator:max\n",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyRateSurged", alertstate="firing"})\n',
        "an agency that leaves the registry ends every alert",
    ),
    Mutant(
        "silence begins above its limit",
        "agency.yml",
        "agency:quiet_working:seconds > on (agency) agency:quiet_limit:seconds and",
        "agency:quiet_working:seconds >= on (agency) agency:quiet_limit:seconds and",
        "an agency is silent against its own past",
    ),
    Mutant(
        "an agency that was never heard of, above its limit",
        "agency.yml",
        "agency:quiet_working:seconds > on (agency) agency:quiet_limit:seconds unless",
        "agency:quiet_working:seconds >= on (agency) agency:quiet_limit:seconds unless",
        "an agency is silent against its own past",
    ),
    Mutant(
        "the own past is the measure",
        "agency.yml",
        "agency:usual_quiet:seconds * 1.5",
        "agency:usual_quiet:seconds * 0 + 48600",
        "an agency is silent against its own past",
    ),
    Mutant(
        "never before nine hours",
        "agency.yml",
        "clamp_min(agency:usual_quiet:seconds * 1.5, 32400)",
        "clamp_min(agency:usual_quiet:seconds * 1.5, 3600)",
        "an agency is silent against its own past",
    ),
    Mutant(
        "three days for the never heard of",
        "agency.yml",
        "agency:quiet_working:seconds * 0 + 97200",
        "agency:quiet_working:seconds * 0 + 32400",
        "an agency is silent against its own past",
    ),
    Mutant(
        "the never heard of is information",
        "agency.yml",
        '"severity", "info", "", "")',
        '"severity", "warning", "", "")',
        "an agency is silent against its own past",
    ),
    Mutant(
        "silence ends",
        "agency.yml",
        "((agency:quiet_working:seconds <= on (agency) agency:quiet_limit:seconds))",
        "(agency:nothing:seconds)",
        "silence ends with an event",
    ),
    Mutant(
        "a stall makes nobody silent",
        "agency.yml",
        '"severity", "info", "", ""))\n        and on () pipeline:freshness:seconds < 600',
        '"severity", "info", "", ""))',
        "a stall and a backlog make nobody silent",
    ),
    Mutant(
        "a backlog makes nobody silent",
        "agency.yml",
        '"severity", "info", "", ""))\n'
        "        and on () pipeline:freshness:seconds < 600\n"
        "        unless on () pipeline:backlog:events > 30000",
        '"severity", "info", "", ""))\n        and on () pipeline:freshness:seconds < 600',
        "a stall and a backlog make nobody silent",
    ),
    Mutant(
        "a scenario makes nobody silent",
        "agency.yml",
        " * on () group_left () (1 - (max(last_over_time(portalpulse_clock_fixed[2m])) or vector(0)))",
        "",
        "nobody is silent in a scenario",
    ),
    Mutant(
        "silence holds without the storage",
        "agency.yml",
        'group by (agency, severity) (ALERTS{alertname="AgencySilent", alertstate="firing"})\n'
        "        unless on () agency:quiet_working:seconds",
        "nothing",
        "storage and exporter that do not answer end nothing",
    ),
    Mutant(
        "silence ends with the agency",
        "agency.yml",
        'group by (agency, severity) (ALERTS{alertname="AgencySilent", alertstate="firing"})\n'
        "        and on (agency) agency:quiet_working:seconds\n",
        'group by (agency, severity) (ALERTS{alertname="AgencySilent", alertstate="firing"})\n',
        "an agency that leaves the registry ends every alert",
    ),
    Mutant(
        "exactly the target is on pace",
        "agency.yml",
        '(agency:kpi_rung:ratio{window="ytd", rung="target"} - 1e-9)\n',
        '(agency:kpi_rung:ratio{window="ytd", rung="target"} + 1e-9)\n',
        "a year that ends below its target is told",
    ),
    Mutant(
        "the last 30 days come for every 30 that are left",
        "agency.yml",
        "pipeline:year_left:days / 30",
        "pipeline:year_left:days / 60",
        "a year that ends below its target is told",
    ),
    Mutant(
        "30 days have enough dossiers",
        "agency.yml",
        'agency:kpi_denominator:max{window="30d"} >= 200',
        'agency:kpi_denominator:max{window="30d"} >= 199',
        "a year that ends below its target is told",
    ),
    Mutant(
        "a year has enough dossiers",
        "agency.yml",
        "- 1e-9)\n        and on (agency, kpi, window) agency:kpi_enough:count",
        "- 1e-9)",
        "a year that ends below its target is told",
    ),
    Mutant(
        "not in January",
        "agency.yml",
        "\n        and on () pipeline:year_left:days <= 305)",
        ")",
        "the end of a year is not told in January",
    ),
    Mutant(
        "from March on",
        "agency.yml",
        "pipeline:year_left:days <= 305",
        "pipeline:year_left:days < 305",
        "the end of a year is not told in January",
    ),
    Mutant(
        "off pace holds for one point",
        "agency.yml",
        '(agency:kpi_rung_clear:ratio{window="ytd", rung="target"} - 1e-9)',
        '(agency:kpi_rung:ratio{window="ytd", rung="target"} - 1e-9)',
        "off pace ends one point above the target",
    ),
    Mutant(
        "off pace ends at one point",
        "agency.yml",
        '(agency:kpi_rung_clear:ratio{window="ytd", rung="target"} - 1e-9)',
        '(agency:kpi_rung_clear:ratio{window="ytd", rung="target"} + 0.001)',
        "off pace ends one point above the target",
    ),
    Mutant(
        "off pace ends with the target",
        "agency.yml",
        '\n        and on (agency, kpi, window) agency:kpi_rung:ratio{window="ytd", rung="target"}\n',
        "\n",
        "off pace ends one point above the target",
    ),
    Mutant(
        "a new year is not off pace",
        "agency.yml",
        '\n      or\n      agency:kpi_too_few_in_period:count{window="ytd"}',
        "",
        "a new year ends what was off pace",
    ),
    Mutant(
        "a stall starts nothing off pace",
        "agency.yml",
        "pipeline:year_left:days <= 305)\n        and on () pipeline:freshness:seconds < 600",
        "pipeline:year_left:days <= 305)",
        "a stall starts nothing off pace",
    ),
    Mutant(
        "off pace holds without the exporter",
        "agency.yml",
        'group by (agency, kpi, window) (ALERTS{alertname="AgencyOffPace", alertstate="firing"})\n'
        "        unless on () agency:kpi_rung:ratio",
        "nothing unless on () agency:kpi_rung:ratio",
        "storage and exporter that do not answer end nothing",
    ),
    Mutant(
        "one in ten may be late",
        "agency.yml",
        "agency:accepted_late:ratio > 0.1",
        "agency:accepted_late:ratio >= 0.1",
        "more than one in ten accepted late is told",
    ),
    Mutant(
        "a hundred dossiers are enough",
        "agency.yml",
        "agency:registered_online:max >= 100)\n",
        "agency:registered_online:max >= 99)\n",
        "more than one in ten accepted late is told",
    ),
    Mutant(
        "a hundred dossiers are needed",
        "agency.yml",
        "agency:registered_online:max >= 100)\n",
        "agency:registered_online:max >= 101)\n",
        "more than one in ten accepted late is told",
    ),
    Mutant(
        "late acceptance ends at one point below",
        "agency.yml",
        "agency:accepted_late:ratio <= 0.09",
        "agency:accepted_late:ratio < 0.09",
        "accepted late ends at nine in a hundred",
    ),
    Mutant(
        "late acceptance holds above one point below",
        "agency.yml",
        "agency:accepted_late:ratio <= 0.09",
        "agency:accepted_late:ratio <= 0.095",
        "accepted late ends at nine in a hundred",
    ),
    Mutant(
        "late acceptance ends",
        "agency.yml",
        "((agency:accepted_late:ratio <= 0.09))",
        "(agency:nothing:ratio)",
        "accepted late ends at nine in a hundred",
    ),
    Mutant(
        "late acceptance ends with the agency",
        "agency.yml",
        'group by (agency) (ALERTS{alertname="AgencyAcceptedLate", alertstate="firing"})\n'
        "        and on (agency) last_over_time(agency_info[2m])\n",
        'group by (agency) (ALERTS{alertname="AgencyAcceptedLate", alertstate="firing"})\n',
        "accepted late ends at nine in a hundred",
    ),
    Mutant(
        "late acceptance holds without the exporter",
        "agency.yml",
        'group by (agency) (ALERTS{alertname="AgencyAcceptedLate", alertstate="firing"})\n        unless on ()',
        "nothing unless on ()",
        "accepted late holds without the exporter",
    ),
    Mutant(
        "a backlog starts no late acceptance",
        "agency.yml",
        f"{_LATE}\n"
        "        and on () max_over_time(pipeline:freshness:seconds[1h]) < 600\n"
        "        unless on () max_over_time(pipeline:backlog:events[1h]) > 30000\n",
        f"{_LATE}\n        and on () max_over_time(pipeline:freshness:seconds[1h]) < 600\n",
        "a stall and a backlog start no late acceptance",
    ),
    Mutant(
        "a count of a stall starts no late acceptance",
        "agency.yml",
        f"{_LATE}\n        and on () max_over_time(pipeline:freshness:seconds[1h]) < 600\n",
        f"{_LATE}\n",
        "late acceptances that were counted in a stall start and end nothing",
    ),
    Mutant(
        "a count of a stall ends no late acceptance",
        "agency.yml",
        f"{_NOT_LATE}\n          and on () max_over_time(pipeline:freshness:seconds[1h]) < 600\n",
        f"{_NOT_LATE}\n",
        "late acceptances that were counted in a stall start and end nothing",
    ),
    Mutant(
        "a search that hangs starts no late acceptance",
        "agency.yml",
        f"{_LATE}\n",
        f"{_LATE.removesuffix(_YOUNG)}\n",
        "a search that hangs starts and ends no late acceptance",
    ),
    Mutant(
        "a search that hangs ends no late acceptance",
        "agency.yml",
        f"{_NOT_LATE}\n",
        f"{_NOT_LATE.removesuffix(_YOUNG)}\n",
        "a search that hangs starts and ends no late acceptance",
    ),
    Mutant(
        "a count outlives the storage and ends no late acceptance",
        "agency.yml",
        f"{_NOT_LATE}\n",
        f"{_NOT_LATE.replace(_FRESH, '')}\n",
        "what was counted before the storage went ends no late acceptance",
    ),
    Mutant(
        "findings that are not counted",
        "pipeline.yml",
        "pipeline:findings_age:seconds > 3600",
        "pipeline:findings_age:seconds > 36000",
        "findings that are not counted any more are told",
    ),
    Mutant(
        "the age of findings survives a missed scrape",
        "pipeline.yml",
        "min(timestamp(last_over_time(portalpulse_findings_last_success_timestamp_seconds[2m])) - "
        "last_over_time(portalpulse_findings_last_success_timestamp_seconds[2m]))",
        "min(timestamp(portalpulse_findings_last_success_timestamp_seconds) - "
        "portalpulse_findings_last_success_timestamp_seconds)",
        "one missed scrape does not make an audit young",
    ),
    Mutant(
        "the age of the audit survives a missed scrape",
        "pipeline.yml",
        "min(timestamp(last_over_time(portalpulse_audit_last_success_timestamp_seconds[2m])) - "
        "last_over_time(portalpulse_audit_last_success_timestamp_seconds[2m]))",
        "min(timestamp(portalpulse_audit_last_success_timestamp_seconds) - portalpulse_audit_last_success_timestamp_seconds)",
        "one missed scrape does not make an audit young",
    ),
]


def _change(mutant: Mutant) -> Callable[[str, str], str]:
    """What makes the mutant of the text of a rule file."""

    def changed(name: str, text: str) -> str:
        if name != mutant.file:
            return text
        if mutant.old not in text:
            pytest.fail(f"{mutant.file} no longer contains {mutant.old!r}: adapt the mutant")
        return text.replace(mutant.old, mutant.new, 1)

    return changed


@pytest.fixture(scope="module")
def verdicts(request, promtool, tmp_path_factory):
    """The output of promtool for every mutant of this run, by what was removed; one run of promtool for all of them."""
    root = tmp_path_factory.mktemp("mutants")
    mutants = [item.callspec.params["mutant"] for item in request.session.items if item.path == request.path]
    files = {mutant.what: written(root / str(n), test=mutant.test, change=_change(mutant)) for n, mutant in enumerate(mutants)}
    loads = promtool("check", "rules", *(files[mutant.what].with_name(mutant.file) for mutant in mutants))
    assert loads.returncode == 0, f"a mutant does not load, so its test proves nothing: {loads.stdout}{loads.stderr}"
    outputs = outputs_of(promtool, files.values())
    return {what: outputs[path] for what, path in files.items()}


#: The fast run tries every third mutant of each file of rules, `make test-long` all.
FAST = [mutant for file in sorted({mutant.file for mutant in MUTANTS}) for mutant in [m for m in MUTANTS if m.file == file][::3]]


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(mutant, id=mutant.what, marks=() if mutant in FAST else pytest.mark.long) for mutant in MUTANTS],
)
def test_a_removed_condition_is_noticed(verdicts, mutant):
    """The rule without one condition still loads, and the named test fails."""
    assert "SUCCESS" not in verdicts[mutant.what], f"no test noticed: {mutant.what}"
