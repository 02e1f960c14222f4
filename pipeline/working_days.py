"""The working days of the settings: those of Viet Nam, with the exchanged days of the file that a setting names."""

from __future__ import annotations

from domain.working_days import WorkingDays
from domain.working_days_file import read_working_days
from pipeline.setting_files import content_of
from pipeline.settings import Settings


def working_days_of(settings: Settings) -> WorkingDays:
    """The working days of the settings. A process reads the file once: a later change of it applies from the next start on.

    Raises:
        ConfigurationError: the file cannot be read, or is not a file of working days; the error names file and line.
    """
    path = settings.indicators.working_days_file
    if not path:
        return WorkingDays()
    variable = "PORTALPULSE_INDICATORS__WORKING_DAYS_FILE"
    return read_working_days(content_of(path, variable=variable, holds="with the columns day and kind"), name=path)
