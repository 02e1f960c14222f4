"""Metric declarations follow the naming rules."""

from __future__ import annotations

import re

import pytest

from domain.metric_names import METRICS


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_follows_the_rules(metric):
    """Prefix, base units, ``_total`` for counters and only for them, a sentence as help, no reserved label."""
    assert re.fullmatch(r"(portalpulse|agency)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert metric.help[0].isupper()
    assert not {"le", "quantile", "job", "instance"} & set(metric.labels)
    assert "worker" in metric.name if metric.source == "worker" else "worker" not in metric.name
