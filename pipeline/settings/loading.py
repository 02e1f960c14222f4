"""Reads all settings from ``PORTALPULSE_...`` variables (nested with ``__``) and files of secrets, and checks them at start."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from domain.clock import parse_clock
from domain.errors import ConfigurationError
from pipeline.settings.checks import AuditSettings, FindingSettings
from pipeline.settings.clickhouse import EMBEDDED, ClickHouseSettings, embedded_url
from pipeline.settings.dead_letters import DeadLetterSettings
from pipeline.settings.error_sentences import explained, json_fault, unknown_variable, unreadable, variable_set_twice
from pipeline.settings.group import checked
from pipeline.settings.http import HttpSettings
from pipeline.settings.indicators import IndicatorSettings
from pipeline.settings.ingest import DossierSettings, IngestSettings, WatchdogSettings
from pipeline.settings.kafka import KafkaSettings
from pipeline.settings.people import BoardSettings, LogSettings, NotifySettings
from pipeline.settings.retention import RetentionSettings
from pipeline.settings.secret_files import with_secret_files
from pipeline.settings.thresholds import ThresholdPolicy

#: Prefix of every variable.
PREFIX: Final = "PORTALPULSE_"


class Settings(BaseSettings):
    """Every setting of portalpulse."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", nested_model_default_partial_update=True
    )

    data_dir: Path = Field(Path(".portalpulse"), description="Folder for all local data.")
    secrets_dir: str = Field(
        "", description="Folder of files for secrets: each file has the name of a variable and its value as content; empty: none."
    )
    clock: str = Field("system", description="Clock: system, or the fixed instant of a scenario (RFC 3339 with offset).")
    registry_file: str = Field(
        "", description="File (CSV) that replaces the packaged registry of agencies for new events; empty: the packaged one."
    )
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    http: HttpSettings = HttpSettings()
    ingest: IngestSettings = IngestSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    retention: RetentionSettings = RetentionSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    audit: AuditSettings = AuditSettings()
    dossiers: DossierSettings = DossierSettings()
    findings: FindingSettings = FindingSettings()
    indicators: IndicatorSettings = IndicatorSettings()
    notify: NotifySettings = NotifySettings()
    board: BoardSettings = BoardSettings()
    log: LogSettings = LogSettings()
    thresholds: tuple[ThresholdPolicy, ...] = Field(
        (ThresholdPolicy(window="1d"), ThresholdPolicy(window="ytd")),
        description="JSON list of policies: each has agencies, indicator, window, the ratios below which alerts are due, and a"
        " minimum"
        " of dossiers.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature of pydantic-settings
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources of settings: arguments of the caller first, then environment variables and files of secrets."""
        variables = EnvSettingsSource(settings_cls)
        variables.env_vars = {name.lower(): value for name, value in _variables().items()}
        return init_settings, variables

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any, info: ValidationInfo) -> Any:
        return checked(cls, value, info)

    @field_validator("data_dir", mode="before")
    @classmethod
    def _names_a_folder(cls, value: Any) -> Any:
        """Refuse an empty text: it would mean the current folder, but mostly comes from a shell variable that is not set."""
        if value == "":
            raise ValueError("it is empty; the current folder is called .")
        return value

    @model_validator(mode="after")
    def _all_local_data_is_in_one_folder(self) -> Settings:
        if self.clickhouse.url.get_secret_value() == EMBEDDED:
            url = SecretStr(embedded_url(self.data_dir))
            self.clickhouse = self.clickhouse.model_copy(update={"url": url})
        return self

    @field_validator("clock")
    @classmethod
    def _is_a_clock(cls, value: str) -> str:
        try:
            parse_clock(value)
        except ConfigurationError as error:
            raise ValueError(f"{error.problem.removesuffix('.')}. {error.remedy.removesuffix('.')}") from error
        return value

    @field_validator("thresholds")
    @classmethod
    def _one_policy_a_series(cls, value: tuple[ThresholdPolicy, ...]) -> tuple[ThresholdPolicy, ...]:
        """Refuse two policies for one series: it would be exported twice, which Prometheus refuses."""
        seen: set[tuple[str, str, str]] = set()
        for number, policy in enumerate(value, 1):
            if policy.agency and policy.block:
                raise ValueError(f"policy {number} names an agency and a block: write one of them")
            whose = policy.agency or policy.block
            if (policy.kpi, policy.window, whose) in seen:
                of = f" of {whose}" if whose else ""
                raise ValueError(f"policy {number} is a second one for {policy.kpi} over {policy.window}{of}: write one of them")
            seen.add((policy.kpi, policy.window, whose))
        return value


def _variables() -> dict[str, str]:
    return with_secret_files(os.environ, PREFIX)


def load_settings(**overrides: Any) -> Settings:
    """Read and check the settings; ``overrides`` (from the command line) win over the environment.

    Raises:
        ConfigurationError: a variable is wrong, or a variable with the prefix ``PORTALPULSE_`` is not a setting. The error names
            the first such variable and says what to write.
    """
    variables = _variables()
    if unknown := unknown_variable(variables, Settings, PREFIX):
        raise ConfigurationError(unknown, remedy="docs/settings.md lists every setting; remove the variable or correct it.")
    if twice := variable_set_twice(variables, PREFIX):
        raise ConfigurationError(twice, remedy="Remove one of the two; docs/settings.md lists every setting.")
    if fault := json_fault(variables, Settings, PREFIX):
        raise ConfigurationError(fault, remedy="docs/settings.md lists every setting with its form.")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        # The messages may quote wrong values, but never secrets.
        wrong = error.errors(include_url=False)
        more = f" {len(wrong) - 1} more are wrong." if len(wrong) > 1 else ""
        raise ConfigurationError(
            f"{explained(wrong[0], Settings, PREFIX)}{more}",
            remedy="docs/settings.md lists every setting with its range.",
        ) from None  # the cause would show the values
    except ValueError as error:  # a variable that should be JSON and is not (pydantic-settings' own SettingsError)
        field = re.search(r'field "(\w+)"', str(error))
        problem = unreadable(field[1], PREFIX, Settings) if field else f"A setting cannot be read: {error}."
        raise ConfigurationError(problem, remedy="docs/settings.md lists every setting with its form.") from error
