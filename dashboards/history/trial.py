"""Runs a simulated period through the rules, and collects every result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dashboards.history.clock import steps_of
from dashboards.history.detection import FoundDrop, ToldFault, found_drops, must_be_told, told_faults
from dashboards.history.exported import Exporter
from dashboards.history.run import fired, instants, parts
from dashboards.history.verdict import AlertCheck, Span, Verdict
from dashboards.history.year import Year
from dashboards.rules.timing import RuleTiming
from domain.agencies import AgencyRegistry
from domain.working_days import WorkingDays
from pipeline.settings import ThresholdPolicy


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a simulated period: what fired, and which of it was wrong.

    Attributes:
        year: what happened.
        spans: what fired.
        verdict: the errors of what fired, by the exact counts.
        drops: what became of the injected drops.
        faults: which faults raised an alert.
        wait: how many steps an alert on the pipeline waits at most.
    """

    year: Year
    spans: Sequence[Span]
    verdict: Verdict
    drops: Sequence[FoundDrop]
    faults: Sequence[ToldFault]
    wait: int

    @property
    def not_found(self) -> list[FoundDrop]:
        """Drops that had to be found and were not."""
        return [each for each in self.drops if each.due and each.hours is None]

    @property
    def not_told(self) -> list[ToldFault]:
        """Faults that had to raise an alert and did not."""
        return [each for each in self.faults if must_be_told(each.fault, wait=self.wait) and each.steps is None]

    @property
    def right(self) -> bool:
        """Whether no alert was wrong, and no drop or fault was missed."""
        return self.verdict.right and not self.not_found and not self.not_told


def run_trial(
    year: Year,
    rules: Mapping[str, str],
    *,
    policies: Sequence[ThresholdPolicy],
    registry: AgencyRegistry,
    working_days: WorkingDays,
    timing: RuleTiming,
    done: Callable[[], None] = lambda: None,
) -> Trial:
    """Run a simulated period through rule files; ``timing`` has the durations and limits that the documents promise.

    Raises:
        ConfigurationError: promtool is not installed, or refuses a rule.
    """
    exporter = Exporter(year.figures, year.feed, registry, policies, working_days, acceptances=year.acceptances)
    spans = fired(exporter, year.period, rules, done=done)
    verdict = AlertCheck(year.figures, year.feed, policies, timing, working_days, acceptances=year.acceptances).judge(
        spans, [instants(part, year.figures.grid) for part in parts(year.period)]
    )
    has_rule = any("alert: AgencyRateDropped" in text for text in rules.values())
    drops = found_drops(year.figures, year.drops, spans, has_rule=has_rule)
    seconds = int(year.figures.grid.step.total_seconds())
    wait = steps_of(timing.backlog_for_seconds, seconds) + steps_of(timing.sample_guard_seconds, seconds) - 1
    return Trial(year, spans, verdict, drops, told_faults(year.faults, spans), wait)
