"""Settings of ClickHouse: one address, or the shards of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator

from pipeline.settings.group import FOLDER, Group

#: Without an address ClickHouse is embedded, in this folder of the data folder.
EMBEDDED: Final = f"{FOLDER}{{data_dir}}/clickhouse"


def embedded_url(data_dir: Path) -> str:
    """The address of the embedded ClickHouse that stores its data in a folder of ``data_dir``."""
    folder = str(data_dir / "clickhouse")
    return f"chdb://{folder}" if folder.startswith("//") else f"chdb:{folder}"  # "chdb://" is read as "chdb:"


#: The form of ``ClickHouseSettings.shards``.
_ADDRESSES: Final = TypeAdapter(list[list[str]])


class ClickHouseSettings(Group):
    """The ClickHouse that stores events and tallies."""

    url: SecretStr = Field(
        SecretStr(EMBEDDED),
        description="chdb:FOLDER for the embedded engine, http(s)://user:password@host:port/database for a server. "
        "{data_dir} in the default is PORTALPULSE_DATA_DIR.",
    )
    shards: SecretStr = Field(
        SecretStr(""),
        description="For a cluster, instead of URL: for each shard the addresses of its replicas, as JSON, for example "
        '[["http://a:8123","http://b:8123"],["http://c:8123","http://d:8123"]].',
    )
    cluster: str = Field(
        "portalpulse",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the cluster in remote_servers of every server, for the tables that read all shards.",
    )
    timeout_seconds: float = Field(60.0, ge=0.1, le=600, description="Longest wait for any answer of ClickHouse.")
    ca_file: str = Field(
        "", description="File (PEM) of the authorities that sign the certificate of ClickHouse; empty: the public ones."
    )

    @field_validator("shards")
    @classmethod
    def _lists_of_addresses(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            try:
                _ADDRESSES.validate_json(value.get_secret_value())
            except ValidationError:  # its text would show passwords
                raise ValueError(
                    'write a list of addresses for each shard, as JSON: [["http://a:8123","http://b:8123"]]'
                ) from None
        return value

    @property
    def addresses(self) -> list[list[str]]:
        """For each shard the addresses of its replicas; empty for a single ClickHouse."""
        text = self.shards.get_secret_value()
        return _ADDRESSES.validate_json(text) if text else []

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("chdb:", "http://", "https://")):
            raise ValueError("it must start with chdb:, http:// or https://")
        return value

    @model_validator(mode="after")
    def _nothing_is_left_unchecked(self) -> ClickHouseSettings:
        """Refuse ``ca_file`` for an address without TLS: it would not be used, and nobody would notice."""
        if self.ca_file and not self.url.get_secret_value().startswith("https://"):
            raise ValueError("ca_file is only used with an address that starts with https://")
        return self
