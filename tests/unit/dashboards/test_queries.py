"""Every PromQL expression of rules and boards parses, and its series and labels exist."""

from __future__ import annotations

import re

import promql_parser
import pytest
import yaml

from dashboards.queries import QUERIES, BoardQuery
from dashboards.queries import pipeline as pipe
from dashboards.queries.national import NO_DATA
from dashboards.rules.generate import RuleTiming, render
from tests.board_queries import board_queries, fill

RULES = [
    rule
    for text in render(RuleTiming.production()).values()
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
#: Series of Prometheus and Alertmanager, with the labels that queries use.
OWN = {
    "ALERTS": {"alertname", "alertstate", "severity", "scope", "agency", "kpi", "window", "rung"},
    "ALERTS_FOR_STATE": {"alertname", "agency", "kpi", "window", "rung"},
    "up": {"job", "instance"},
    **dict.fromkeys(
        (
            "alertmanager_config_last_reload_successful",
            "alertmanager_notifications_failed_total",
            "process_start_time_seconds",
            "prometheus_config_last_reload_successful",
            "prometheus_notifications_alertmanagers_discovered",
            "prometheus_notifications_dropped_total",
            "prometheus_notifications_errors_total",
            "prometheus_rule_evaluation_failures_total",
            "prometheus_rule_group_iterations_missed_total",
            "alertmanager_alerts",
            "alertmanager_notifications_total",
            "process_resident_memory_bytes",
            "prometheus_notifications_sent_total",
            "prometheus_rule_group_last_duration_seconds",
            "prometheus_tsdb_head_series",
            "scrape_duration_seconds",
            "scrape_samples_scraped",
        ),
        frozenset({"rule_group", "integration"}),
    ),
}
#: Labels of recorded series, by the level at the start of their name.
LEVELS = {
    "agency": {"agency", "kpi", "window", "rung", "severity"},
    "block": {"block", "kpi", "window"},
    "national": {"kpi", "window"},
    "pipeline": {"window"},
}
FIGURES = {f"{scope}_{number}" for scope in ("agency", "block", "nation") for number in ("percent", "numerator", "denominator")}


def selectors(node) -> list:
    """Every vector selector below ``node``."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    children += list(getattr(node, "args", None) or [])
    return [found for child in children if child is not None for found in selectors(child)]


def labels_of(name: str) -> set[str]:
    """The labels of the series with this name."""
    from domain.metric_names import METRICS

    if name in OWN:
        return OWN[name]
    if name in RECORDED:
        return LEVELS[name.partition(":")[0]]
    if (histogram := name.removesuffix("_count").removesuffix("_bucket")) in METRICS:
        return set(METRICS[histogram].labels)
    assert name in METRICS, f"{name} is neither declared in domain/metric_names.py nor recorded"
    return set(METRICS[name].labels)


def check(promql: str) -> None:
    """Fails unless the query parses and every series and label in it exists."""
    found = selectors(promql_parser.parse(promql))
    assert found or promql.startswith("vector("), promql
    for selector in found:
        wanted = {matcher.name for matcher in selector.matchers.matchers}
        assert wanted <= labels_of(selector.name), f"{selector.name} has no label {wanted - labels_of(selector.name)}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules(rule):
    """A rule's expression parses, and every series in it is declared or recorded."""
    check(rule["expr"])


def test_boards():
    """Each query of the boards parses once its variables are filled in, and its series and labels exist."""
    for query in board_queries():
        assert "$" not in query.promql, query.name
        check(query.promql)


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: rule["alert"])
def test_annotations(rule):
    """A query inside an alert's text parses, and its series and labels exist."""
    texts = " ".join(rule["annotations"].values())
    asked = re.findall(r'\{\{[^}]*?query "([^"]+)"', texts)
    asked += [
        text.replace("%q", '"x"').replace("%s", '{agency="x",kpi="I1",window="1d"}')
        for text in re.findall(r'printf "([^"]*(?:agency|pipeline)[:_][^"]*%[qs][^"]*)"', texts)
    ]
    for promql in asked:
        check(promql)


def test_an_agency_without_figures_is_not_in_the_table(promtool, tmp_path):
    """No query by agency returns one that has name and thresholds only: it is not expected to report, and never sent."""
    where = 'kpi="I1",window="ytd"'
    series = [
        *(f'agency_info{{agency="{code}",block="ministry",name="{code}"}}' for code in ("G02", "G27")),
        *(f'agency:kpi_threshold:ratio{{agency="{code}",{where}}}' for code in ("G02", "G27")),
        *(f'agency:kpi_denominator:max{{agency="G02",{where}}}', f'agency:kpi_numerator:max{{agency="G02",{where}}}'),
    ]
    tables = [query for query in board_queries() if query.name in {"agency_name", "agency_threshold", "agency_state"}]
    labels = {"agency_name": '{agency="G02",block="ministry",name="G02"}', "agency_threshold": '{agency="G02"}'}
    found = {"agency_name": 1, "agency_threshold": 100, "agency_state": NO_DATA}
    cases = [
        {
            "expr": query.promql,
            "eval_time": "0s",
            "exp_samples": [{"labels": labels.get(query.name, '{agency="G02"}'), "value": found[query.name]}],
        }
        for query in tables
    ]
    file = tmp_path / "test.yml"
    values = [{"series": name, "values": "0" if "kpi_" in name and "threshold" not in name else "1"} for name in series]
    file.write_text(yaml.safe_dump({"tests": [{"interval": "1m", "input_series": values, "promql_expr_test": cases}]}))
    assert len(cases) == 3
    answer = promtool("test", "rules", file)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def answers(promtool, tmp_path, series, wanted):
    """Compare what queries of the boards answer with ``wanted``: name -> value, or None for no answer."""
    asked = {query.name: query.promql for query in board_queries()}
    cases = [
        {
            "expr": asked[name],
            "eval_time": "20m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for name, value in wanted.items()
    ]
    values = [{"series": name, "values": value} for name, value in series.items()]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"tests": [{"interval": "1m", "input_series": values, "promql_expr_test": cases}]}))
    answer = promtool("test", "rules", file)
    assert answer.returncode == 0, answer.stdout + answer.stderr


#: A sound pipeline for half an hour: office hours, the newest event half a minute old, no backlog.
SOUND = {
    "portalpulse_storage_up": "1x30",
    "portalpulse_clock_fixed": "0x30",
    "portalpulse_quiet_working_seconds": "30x30",
    "portalpulse_clock_timestamp_seconds": "1000+60x30",
    "portalpulse_newest_event_timestamp_seconds": "970+60x30",
    "pipeline:backlog:events": "0x30",
    'agency:kpi_denominator:max{agency="H17",kpi="I1",window="ytd"}': "100x30",
}
STALE_MARKER = "1x10 stale"


@pytest.mark.parametrize(
    ("changed", "banner"),
    [
        ({}, pipe.FRESH),
        ({"portalpulse_storage_up": "0x30"}, pipe.STORAGE_DOWN),
        ({"portalpulse_clock_fixed": "1x30"}, pipe.SCENARIO),
        ({"portalpulse_quiet_working_seconds": "600x30"}, pipe.STALE),
        ({"portalpulse_newest_event_timestamp_seconds": "100x30"}, pipe.QUIET),
        ({"pipeline:backlog:events": "30001x30"}, pipe.BEHIND),
        ({"portalpulse_newest_event_timestamp_seconds": None, "portalpulse_quiet_working_seconds": None}, pipe.NO_EVENTS),
        (dict.fromkeys(SOUND, STALE_MARKER), None),
    ],
    ids=["fresh", "storage down", "scenario", "old", "night", "behind", "no events", "exporter dead"],
)
def test_the_banner(promtool, tmp_path, changed, banner):
    """The banner names what is wrong with the data; with a dead exporter neither it nor any count of agencies has a value."""
    series = {name: value for name, value in (SOUND | changed).items() if value is not None}
    counts = dict.fromkeys(("agencies_firing", "agencies_alerted", "agencies_without_data"), None if banner is None else 0)
    answers(promtool, tmp_path, series, {"banner": banner, **counts})


def test_rates_are_cut(promtool, tmp_path):
    """48 of 965 is 4.97 and 4.9999 % is 4.99 on every board; a fall of 1.239 points is -1.23."""
    where = 'agency="H17",kpi="I1",window'
    series = {
        f'agency:kpi:ratio{{{where}="ytd"}}': f"{48 / 965!r}x30",
        'national:kpi:ratio{kpi="I1",window="ytd"}': "0.049999x30",
    }
    answers(promtool, tmp_path, series, {"one_percent": 4.97, "nation_percent": 4.99})
    counts = {"numerator": 98_761, "denominator": 1_000_000, "earlier_numerator": 111_151, "earlier_denominator": 1_000_000}
    week = {f'agency:kpi_{name}:max{{{where}="7d"}}': f"{value}x30" for name, value in counts.items()}
    answers(promtool, tmp_path, week, {"nation_change": -1.23})


def test_an_unknown_series_is_noticed():
    """The control: a misspelt series or an unknown label fails the checks above."""
    for wrong in ("max(agency:kpi:rate)", "portalpulse_tally_lag", 'national:kpi:ratio{agency="H17"}'):
        with pytest.raises(AssertionError):
            check(wrong)


def test_figures_of_the_report_are_all_covered():
    """Every figure of the report has exactly one query, which the integration test compares."""
    equal = [query.equals for query in QUERIES.values() if query.equals != "none"]
    assert sorted(equal) == sorted(FIGURES)
    for query in QUERIES.values():
        if query.equals != "none":
            scope = query.equals.partition("_")[0]
            assert (f"by ({scope})" in query.promql) == (scope != "nation"), query.name


def test_queries_are_unique():
    """Names are unique, and every query has its meaning."""
    queries = board_queries()
    assert len({query.name for query in queries}) == len({query.promql for query in queries}) == len(QUERIES)
    assert all(isinstance(query, BoardQuery) and query.meaning.endswith(".") for query in queries)


def test_variables_are_filled():
    """Both spellings of a variable are filled in; an unknown variable is an error, not an empty answer."""
    assert fill('x{a="$kpi",b="${window}"}', {"kpi": "I5", "window": "1d"}) == 'x{a="I5",b="1d"}'
    with pytest.raises(KeyError):
        fill("$nothing", {})
