"""PromQL about Prometheus and Alertmanager themselves: whether they read data, evaluate rules and send messages.

Their own series have no fixed job names: every site names its jobs itself.
"""

from __future__ import annotations

from dashboards.queries.query import BoardQuery

WATCHDOG = BoardQuery(
    "watchdog",
    'max(ALERTS{alertname="Watchdog",alertstate="firing"})',
    "1 while the heartbeat of the alerting path is on.",
)
TARGETS_DOWN = BoardQuery("targets_down", "count(up == 0) or 0 * count(up)", "Processes that did not answer the last scrape.")
TARGETS = BoardQuery("targets", "min by (job, instance) (up)", "Whether each process answered the last scrape.")
SCRAPE_SECONDS = BoardQuery("scrape_seconds", "max by (job) (scrape_duration_seconds)", "Seconds of the last scrape.")
SAMPLES = BoardQuery("samples", "sum by (job) (scrape_samples_scraped)", "Series that the last scrape brought.")
ALERTMANAGERS = BoardQuery(
    "alertmanagers", "min(prometheus_notifications_alertmanagers_discovered)", "Alertmanagers that Prometheus has found."
)
RULE_FAILURES = BoardQuery(
    "rule_failures",
    "sum(increase(prometheus_rule_evaluation_failures_total[1h]))",
    "Rules that failed within the last hour.",
)
RULES_MISSED = BoardQuery(
    "rules_missed",
    "sum(increase(prometheus_rule_group_iterations_missed_total[1h]))",
    "Evaluations that did not take place within the last hour.",
)
RULE_SECONDS = BoardQuery(
    "rule_seconds",
    "max by (rule_group) (prometheus_rule_group_last_duration_seconds)",
    "Seconds of the last evaluation of each group of rules.",
)
SENT = BoardQuery(
    "sent", "sum(rate(prometheus_notifications_sent_total[$__rate_interval]))", "Alerts handed to Alertmanager, a second."
)
SEND_FAILURES = BoardQuery(
    "send_failures",
    "sum(increase(prometheus_notifications_errors_total[1h])) + sum(increase(prometheus_notifications_dropped_total[1h]))",
    "Alerts that could not be handed to Alertmanager within the last hour.",
)
NOTIFICATIONS = BoardQuery(
    "notifications",
    "sum by (integration) (increase(alertmanager_notifications_total[1h])) > 0",
    "Messages that Alertmanager sent within the last hour, by channel.",
    may_be_empty="it sent nothing",
)
NOTIFICATION_FAILURES = BoardQuery(
    "notification_failures",
    "sum(increase(alertmanager_notifications_failed_total[1h]))",
    "Messages that Alertmanager could not send within the last hour.",
)
CONFIGURATION = BoardQuery(
    "configuration",
    "min(prometheus_config_last_reload_successful) * min(alertmanager_config_last_reload_successful)",
    "1 while both run with the configuration that they were last given.",
)
HELD_ALERTS = BoardQuery("held_alerts", "sum by (state) (alertmanager_alerts)", "Alerts that Alertmanager has, by state.")
RESTARTS = BoardQuery("restarts", "sum by (job) (changes(process_start_time_seconds[1h]))", "Restarts within the last hour.")
MEMORY = BoardQuery("memory", "max by (job) (process_resident_memory_bytes)", "Memory of each process.")
VERSIONS = BoardQuery("versions", "max by (version) (portalpulse_build_info)", "Always 1; the label is a running version.")
STORED_SERIES = BoardQuery("stored_series", "max(prometheus_tsdb_head_series)", "Series that Prometheus keeps in memory.")
