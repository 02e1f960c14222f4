"""Settings of thresholds: below which rate, and over which window, an agency has fallen behind and an alert is due."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from pipeline.settings.group import Group


class ThresholdPolicy(Group):
    """When an agency counts as fallen behind: one indicator over one window."""

    model_config = ConfigDict(frozen=True)

    kpi: str = Field("I1", pattern="^(I1|I5)$", description="Indicator.")
    window: str = Field("1d", pattern="^(1h|1d|7d|30d|month|ytd)$", description="Window of the gauge.")
    block: str = Field("", pattern="^(|ministry|province)$", description="Only for agencies of this block; empty: for all.")
    agency: str = Field("", max_length=16, description="Only for this agency, by its code; empty: for all.")
    ratio: float = Field(0.05, gt=0, le=1, description="Alert below this ratio (strictly).")
    low_ratio: float = Field(0.1, ge=0, le=1, description="Warn below this ratio; not above ratio: no warning.")
    target: float = Field(0.0, ge=0, le=1, description="The agency's own target; 0: that of the year, for the window ytd.")
    min_volume: int = Field(30, ge=1, le=1_000_000_000, description="No alert on fewer dossiers than this.")
