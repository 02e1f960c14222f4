"""The working days of the settings: those of the country, with the days that the file of the settings exchanges."""

from __future__ import annotations

from pathlib import Path

from domain.errors import ConfigurationError
from domain.working_days import WorkingDays
from domain.working_days_file import read_working_days
from pipeline.settings import Settings


def working_days_of(settings: Settings) -> WorkingDays:
    """The working days. A process reads the file once: what changes later applies from the next start on.

    Raises:
        ConfigurationError: the file cannot be read, or is not a file of working days; the error names file and line.
    """
    path = settings.indicators.working_days_file
    if not path:
        return WorkingDays()
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"PORTALPULSE_INDICATORS__WORKING_DAYS_FILE names {path}, which cannot be read: {reason}.",
            remedy="Name a file with the columns day and kind, or remove the variable.",
        ) from error
    return read_working_days(content, name=path)
