"""Settings: typed, checked once at start. No other package reads the environment.

Each module has the groups of settings of one subject; ``loading`` reads them all. docs/settings.md lists every setting; a test
compares it with this package.
"""

from pipeline.settings.clickhouse import ClickHouseSettings, embedded_url
from pipeline.settings.dead_letters import DeadLetterSettings
from pipeline.settings.http import HttpSettings
from pipeline.settings.ingest import IngestSettings
from pipeline.settings.kafka import KafkaSettings
from pipeline.settings.loading import PREFIX, Settings, load_settings
from pipeline.settings.people import LogSettings
from pipeline.settings.retention import RetentionSettings
from pipeline.settings.thresholds import ThresholdPolicy

__all__ = [
    "PREFIX",
    "ClickHouseSettings",
    "DeadLetterSettings",
    "HttpSettings",
    "IngestSettings",
    "KafkaSettings",
    "LogSettings",
    "RetentionSettings",
    "Settings",
    "ThresholdPolicy",
    "embedded_url",
    "load_settings",
]
