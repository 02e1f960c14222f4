"""The gauges of policies: which agencies are in force, below which rates alerts fire for each, and over which windows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domain import metric_names as names
from domain.agencies import Agency, AgencyRegistry
from domain.clock import Clock, ScenarioClock
from domain.errors import ConfigurationError
from domain.metric_names import Metric
from domain.periods import Window, civil_day
from domain.targets import target_of
from pipeline.settings import ThresholdPolicy

#: Windows that are judged instead of the last 24 hours when these hold too few dossiers, the first that holds enough.
STAND_INS: Final = (Window.WEEK.value, Window.MONTH_OF_DAYS.value)
_DAY: Final = Window.DAY.value


class PolicyCollector(Collector):
    """Exports the agencies in force and their policies, without the storage: so alerts keep firing while the storage is down.

    Raises:
        ConfigurationError: a policy names an agency that the registry does not know.
    """

    def __init__(self, *, registry: AgencyRegistry, clock: Clock, policies: Iterable[ThresholdPolicy]) -> None:
        self._registry, self._clock, self._policies = registry, clock, tuple(policies)
        for number, policy in enumerate(self._policies, 1):
            if policy.agency and policy.agency not in registry:
                raise ConfigurationError(
                    f"PORTALPULSE_THRESHOLDS is wrong: policy {number} names the agency {policy.agency}, which the registry does "
                    "not know.",
                    remedy="Write a level-1 code such as H17, or omit the field.",
                )

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of the agencies and policies on the clock's current day."""
        today = civil_day(self._clock.now())
        agencies = self._registry.in_force(today)
        info = _gauge(names.AGENCY_INFO)
        for agency in agencies:
            info.add_metric([agency.code, agency.block, agency.name_vi, agency.name_en], 1)
        yield info
        threshold, volume = _gauge(names.AGENCY_THRESHOLD_RATIO), _gauge(names.AGENCY_MIN_VOLUME)
        rung, stand_in = _gauge(names.AGENCY_RUNG_RATIO), _gauge(names.AGENCY_STAND_IN_WINDOW)
        for agency in agencies:
            found = policies_of(self._policies, agency)
            for (kpi, window), policy in found.items():
                labels = [agency.code, kpi, window]
                threshold.add_metric(labels, policy.ratio)
                volume.add_metric(labels, policy.min_volume)
                for name, ratio in _rungs(policy, agency, today).items():
                    rung.add_metric([*labels, name], ratio)
                if policy.window != window:
                    stand_in.add_metric(labels, 1)
        yield from (threshold, volume, rung, stand_in)
        fixed = _gauge(names.CLOCK_FIXED)
        fixed.add_metric([], isinstance(self._clock, ScenarioClock))
        yield fixed
        build = _gauge(names.BUILD_INFO)
        build.add_metric([metadata.version("portalpulse")], 1)
        yield build


def policies_of(policies: Iterable[ThresholdPolicy], agency: Agency) -> Mapping[tuple[str, str], ThresholdPolicy]:
    """The policy of an agency by (indicator, window): the agency's own, else that of its block, else that of all agencies.

    For windows of ``STAND_INS`` that have no policy, the policy of the last 24 hours is used.
    """
    found: dict[tuple[str, str], ThresholdPolicy] = {}
    for policy in sorted(policies, key=lambda each: (bool(each.agency), bool(each.block))):
        if policy.agency in ("", agency.code) and policy.block in ("", agency.block):
            found[policy.kpi, policy.window] = policy
    for (kpi, window), policy in list(found.items()):
        if window == _DAY:
            for longer in STAND_INS:
                found.setdefault((kpi, longer), policy)
    return found


def _rungs(policy: ThresholdPolicy, agency: Agency, today: dt.date) -> Mapping[str, float]:
    """The policy's rates above its threshold by name, below10 and target; a year to date without target has the year's."""
    target = policy.target
    if not target and policy.window == Window.YEAR:
        target = float(target_of(policy.kpi, year=today.year, block=agency.block) or 0)
    rungs = {"below10": policy.low_ratio} if policy.low_ratio > policy.ratio else {}
    return rungs | {"target": target} if target > max(policy.ratio, *rungs.values(), 0.0) else rungs


def _gauge(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
