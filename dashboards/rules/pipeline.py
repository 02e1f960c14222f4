"""Rules on the pipeline: the recorded series, then alerts on parts, backlogs, correct counts, and storage.

The current time is ``portalpulse_clock_timestamp_seconds``, so the same rules apply to live data and to a scenario of 2024.
"""

from __future__ import annotations

from dashboards.rules.backlog import backlog_alerts
from dashboards.rules.parts import part_alerts
from dashboards.rules.quality import quality_alerts
from dashboards.rules.rule import Rule, group, record, seen
from dashboards.rules.storage import storage_alerts
from dashboards.rules.timing import RuleTiming


def _records(timing: RuleTiming) -> list[Rule]:
    def last(metric: str) -> str:
        return seen(metric, timing)

    # The clock of a scenario stands still, and so do its events: neither is a stall.
    moving = f"(1 - (max({last('portalpulse_clock_fixed')}) or vector(0)))"
    return [
        record(
            "pipeline:freshness:seconds",
            f"""
            (max({last("portalpulse_clock_timestamp_seconds")}) - max({last("portalpulse_newest_event_timestamp_seconds")}))
            * {moving}
            """,
        ),
        record("pipeline:quiet_working:seconds", f"max({last('portalpulse_quiet_working_seconds')}) * {moving}"),
        record("pipeline:tally_lag:rows", f"max(abs({last('portalpulse_tally_lag_rows')}))"),
        record("pipeline:audit_drift:events", f"max(abs({last('portalpulse_audit_drift_events')}))"),
        # What works in the background has the clock of the machine, also in a scenario.
        record("pipeline:audit_age:seconds", _age(last("portalpulse_audit_last_success_timestamp_seconds"))),
        record("pipeline:findings_age:seconds", _age(last("portalpulse_findings_last_success_timestamp_seconds"))),
        record("pipeline:lag:events", f"sum({last('portalpulse_worker_consumer_lag_events')}) or vector(0)"),
        # Events that workers hold, including stored and tallied ones that are not acknowledged yet.
        record("pipeline:in_flight:events", f"sum({last('portalpulse_worker_unacknowledged_events')}) or vector(0)"),
        # Those that are missing in the tallies that rates are read from.
        record("pipeline:untallied:events", f"sum({last('portalpulse_worker_untallied_events')}) or vector(0)"),
        # All events between Kafka and the tallies that rates are read from. They are acknowledged later, when the procedures of
        # their days are recounted. Without worker metrics only the lag of the tallies.
        record("pipeline:backlog:events", "pipeline:tally_lag:rows + pipeline:lag:events + pipeline:untallied:events"),
        record(
            "pipeline:dead_letter_rows_per_received_rows:ratio",
            f"""
            max by (window) ({last("portalpulse_dead_letter_rows")})
            /
            (max by (window) ({last("portalpulse_received_rows")}) > 0)
            """,
        ),
    ]


def _age(success: str) -> str:
    """PromQL of the seconds since the newest success of several processes.

    Samples of ``last_over_time`` have the present time.
    """
    return f"min(timestamp({success}) - {success})"


def pipeline_group(timing: RuleTiming) -> Rule:
    """The rule group of ``pipeline.yml``, whose records the rules on agencies read."""
    rules = [
        *_records(timing),
        *part_alerts(timing),
        *backlog_alerts(timing),
        *quality_alerts(timing),
        *storage_alerts(timing),
    ]
    return group("pipeline", rules, timing=timing)
