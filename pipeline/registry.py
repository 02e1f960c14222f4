"""The registry of agencies in force: the packaged one, or the file that the settings name instead."""

from __future__ import annotations

import functools
from pathlib import Path

from domain.agencies import AgencyRegistry
from pipeline.setting_files import content_of
from pipeline.settings import Settings


def registry_of(settings: Settings) -> AgencyRegistry:
    """The registry of the settings. A process reads the file once: a later change of it applies from the next start on.

    Raises:
        ConfigurationError: the file cannot be read, or is not a registry; the error names file, line and column.
    """
    return _registry(str(Path(settings.registry_file).absolute()) if settings.registry_file else "")


@functools.lru_cache(maxsize=4)
def _registry(path: str) -> AgencyRegistry:
    if not path:
        return AgencyRegistry.packaged()
    columns = "in the columns of domain/data/agencies.csv"
    return AgencyRegistry.from_csv(content_of(path, variable="PORTALPULSE_REGISTRY_FILE", holds=columns), name=path)
