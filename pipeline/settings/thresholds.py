"""Settings of thresholds: the rate below which, and the window over which, an alert about an agency is due."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from pipeline.settings.group import Group


class ThresholdPolicy(Group):
    """The thresholds of one indicator over one window, for all agencies or some."""

    model_config = ConfigDict(frozen=True)

    kpi: str = Field("I1", pattern="^(I1|I5)$", description="Indicator.")
    window: str = Field("1d", pattern="^(1h|1d|7d|30d|month|ytd)$", description="Window over which the rate is counted.")
    block: str = Field(
        "", pattern="^(|ministry|province)$", description="The policy is for agencies of this block only; empty: for all."
    )
    agency: str = Field("", max_length=16, description="The policy is for the agency with this code only; empty: for all.")
    ratio: float = Field(0.05, gt=0, le=1, description="An alert is due when the rate is strictly below this ratio.")
    low_ratio: float = Field(
        0.1,
        ge=0,
        le=1,
        description="A warning is due when the rate is below this ratio; no warning if it is not above the setting ratio.",
    )
    target: float = Field(
        0.0, ge=0, le=1, description="The agency's own target; 0: for the window ytd the target of the year, else none."
    )
    min_volume: int = Field(
        30, ge=1, le=1_000_000_000, description="No alert is due when the rate is about fewer dossiers than this."
    )
