"""The registry of agencies in force: the packaged one, or the file that the settings name instead."""

from __future__ import annotations

import functools
from pathlib import Path

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from pipeline.settings import Settings


def registry_of(settings: Settings) -> AgencyRegistry:
    """The registry of the settings. A process reads it once: a file that changes later applies from the next start on.

    Raises:
        ConfigurationError: the file cannot be read, or is not a registry; the error names file, line and column.
    """
    return _registry(str(Path(settings.registry_file).absolute()) if settings.registry_file else "")


@functools.lru_cache(maxsize=4)
def _registry(path: str) -> AgencyRegistry:
    if not path:
        return AgencyRegistry.packaged()
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"PORTALPULSE_REGISTRY_FILE names {path}, which cannot be read: {reason}.",
            remedy="Name a file in the columns of domain/data/agencies.csv, or remove the variable.",
        ) from error
    return AgencyRegistry.from_csv(content, name=path)
