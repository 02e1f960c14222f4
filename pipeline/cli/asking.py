"""How a command reaches the running process: its address, and one request whose every failure is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from pipeline.addresses import read_addresses
from pipeline.core.errors import UnavailableError
from pipeline.settings import Settings


class NothingAnswersError(UnavailableError):
    """No process listens at the address."""


def is_embedded(settings: Settings) -> bool:
    """Whether the storage is a folder that one process owns."""
    return settings.clickhouse.url.get_secret_value().startswith("chdb:")


def address_of(settings: Settings, data: Path | None) -> str:
    """The URL of the process that runs on ``data``, or on the folder or port of the settings.

    Raises:
        UnavailableError: nothing runs on ``data``.
    """
    addresses = read_addresses(data or settings.data_dir)
    if addresses is not None:
        return addresses.http
    if data is not None:
        raise NothingAnswersError(f"No stack runs on {data}.", remedy=f"Start it with `portalpulse up --data {data}`.")
    return f"http://{settings.http.host}:{settings.http.port}"


def ask(method: str, url: str, *, timeout: float = 60.0, **request: Any) -> Any:
    """The JSON that a process answers; None when it says that there is no such thing (404 with an error).

    Raises:
        UnavailableError: nothing answers, or it answers with an error; the message is the process's own.
    """
    try:
        answer = httpx.request(method, url, timeout=timeout, trust_env=False, **request)
    except httpx.HTTPError as error:
        raise NothingAnswersError(
            f"Nothing answers at {url.partition('/api/')[0]}.",
            remedy="Start it with `portalpulse up`, or name its folder with --data.",
        ) from error
    try:
        fields = answer.json()
    except ValueError:
        fields = {}
    if answer.status_code == httpx.codes.OK:
        return fields
    if answer.status_code == httpx.codes.NOT_FOUND and isinstance(fields, dict) and "There is no" in fields.get("error", ""):
        return None
    said = fields.get("error") if isinstance(fields, dict) else None
    raise UnavailableError(f"{url.partition('?')[0]} answers {answer.status_code}: {said or answer.text[:200]}")
