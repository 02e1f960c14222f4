"""Settings of indicators: below which rates agencies have fallen behind, and what is counted."""

from __future__ import annotations

import datetime as dt

from pydantic import ConfigDict, Field

from domain.acceptance import FIRST_DAY
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


class IndicatorSettings(Group):
    """What the indicators count where both ways are in use. Both are stored: changing it recounts nothing."""

    return_at_counter: str = Field(
        "excluded",
        pattern="^(excluded|counted)$",
        description="Whether a dossier whose result was handed out at the counter counts as settled toàn trình in I1.",
    )
    accepted_late_from: dt.date = Field(
        FIRST_DAY, description="Registrations from this day on are counted as accepted in time or late (118/2025/NĐ-CP)."
    )
    working_days_file: str = Field(
        "",
        description="File (CSV: day,kind) of working days and days off that decrees exchange; empty: no day is exchanged.",
    )
