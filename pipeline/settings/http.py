"""Settings of the HTTP endpoint of worker and exporter: address, tokens, TLS, limits."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from pipeline.settings.group import Group, WebAddress, require_token


class HttpSettings(Group):
    """The worker's and exporter's own HTTP endpoint: metrics, health, report."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    read_token: SecretStr = Field(
        SecretStr(""),
        description="Requests with this token may read pages and figures; 16 characters or more; several, for rotation, are"
        " separated by commas. Never printed.",
    )
    operate_token: SecretStr = Field(
        SecretStr(""),
        description="Requests with this token may read everything and make changes; 16 characters or more; several, for rotation,"
        " are separated by commas. Never printed.",
    )
    anonymous_read: bool = Field(default=False, description="Whether everybody may read pages and figures without a token.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names of this machine that addresses may have beside localhost, separated by commas; only used without"
        " tokens.",
    )
    certificate_file: str = Field(
        "",
        description="File (PEM) of the certificate and its chain, read again when it changes; the endpoint is https only."
        " Empty: http.",
    )
    key_file: str = Field("", description="File (PEM) of the certificate's key, without a password.")
    url: WebAddress = Field(
        "",
        description="Address at which commands reach the process, such as https://exporter.example:8080; empty: host and port.",
    )
    ca_file: str = Field(
        "", description="File (PEM) of the authorities that commands and relay trust with https; empty: the public authorities."
    )
    requests_per_second: float = Field(
        200.0,
        ge=0,
        le=1e6,
        description="Requests allowed per second for one token, or for one address without a token, ten times as many at once;"
        " 0: no limit.",
    )

    @field_validator("read_token", "operate_token")
    @classmethod
    def _fit_a_header(cls, value: SecretStr) -> SecretStr:
        for token in _tokens(value):
            require_token(token)
        return value

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        if re.search(r"[@/?#\s]", value):  # not quoted: what is before an @ may be a password
            raise ValueError("it is not a name or an address of a machine: omit http://, user, password and path")
        return value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", host):
                raise ValueError(f"{host[:40]!r} is not a name of a host: omit http:// and the port")
        return value

    @field_validator("url")
    @classmethod
    def _without_a_last_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> HttpSettings:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file are needed together")
        return self

    @model_validator(mode="after")
    def _a_token_has_one_role(self) -> HttpSettings:
        if set(self.read_tokens) & set(self.operate_tokens):
            raise ValueError("read_token and operate_token have a token in common: a token has one role")
        return self

    @property
    def read_tokens(self) -> tuple[str, ...]:
        """The tokens with which requests may read."""
        return _tokens(self.read_token)

    @property
    def operate_tokens(self) -> tuple[str, ...]:
        """The tokens with which requests may read everything and make changes."""
        return _tokens(self.operate_token)

    @property
    def sent_token(self) -> str:
        """The token that commands send: the first operate token, else the first read token, else "" (none)."""
        return next(iter((*self.operate_tokens, *self.read_tokens)), "")

    @property
    def reading_token(self) -> str:
        """The token that the relay sends: the first read token, else the first operate token, else "" (none)."""
        return next(iter((*self.read_tokens, *self.operate_tokens)), "")


def _tokens(value: SecretStr) -> tuple[str, ...]:
    return tuple(token for token in value.get_secret_value().split(",") if token)
