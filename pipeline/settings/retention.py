"""Settings of retention: after how many days `portalpulse retention apply` lets messages and dead letters expire."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings.group import Group


class RetentionSettings(Group):
    """How long `portalpulse retention apply` keeps messages and dead letters. Figures are kept for ever."""

    messages_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after the last event of a finished dossier until its messages may expire; 0: never.",
    )
    dead_letters_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days until dead letters may expire, also replayed ones; 0: never. Expired ones stay counted.",
    )
    quiet_days: float = Field(
        1.0, ge=0, le=3_650, description="Days without a new message or decision before a finished dossier may expire."
    )
