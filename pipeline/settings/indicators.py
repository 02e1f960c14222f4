"""Settings of indicators: which of two official ways of counting is used, and the working days."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from domain.acceptance import FIRST_DAY
from pipeline.settings.group import Group


class IndicatorSettings(Group):
    """What indicators count. Both ways of counting are stored, so a change of a setting needs no recount."""

    return_at_counter: str = Field(
        "excluded",
        pattern="^(excluded|counted)$",
        description="Whether a dossier whose result was handed out at the counter counts as settled toàn trình in I1.",
    )
    accepted_late_from: dt.date = Field(
        FIRST_DAY,
        description="Dossiers registered online from this day on are counted as accepted in time or late (118/2025/NĐ-CP).",
    )
    working_days_file: str = Field(
        "",
        description="File (CSV: day,kind) of working days and days off that decrees exchange; empty: no day is exchanged.",
    )
