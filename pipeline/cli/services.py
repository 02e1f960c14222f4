"""Chooses where a command works: here, on a ClickHouse server, or in the running process that owns an embedded storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from domain.errors import UnavailableError
from pipeline.cli.remote import NotRunningError, Process, is_embedded, running
from pipeline.settings import Settings, embedded_url
from pipeline.wiring.storage import opened_storage, target_of
from sinks.contract.storage import Storage
from sinks.errors import SinkError

Local = TypeVar("Local")
Remote = TypeVar("Remote")


@contextmanager
def opened_service(
    settings: Settings,
    data: Path | None,
    *,
    local: Callable[[Settings, Storage], Local],
    remote: Callable[[Process], Remote],
    open_folder: bool = False,
) -> Iterator[Local | Remote]:
    """The service that ``local`` makes for the ClickHouse server, or ``remote`` for the process of the embedded storage.

    ``open_folder``: when no process runs on an existing folder, open the folder here.

    Raises:
        NotRunningError: no process runs on the embedded storage.
        UnavailableError: the process or the server does not answer.
    """
    process = None
    if data is not None or is_embedded(settings):
        try:
            process = running(settings, data)
        except NotRunningError:
            if data is not None:
                url = SecretStr(embedded_url(data))
                settings = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"url": url})})
            folder = target_of(settings).folder
            if not open_folder or folder is None or not folder.is_dir():
                raise
    if process is not None:
        yield remote(process)
        return
    with opened_storage(settings) as storage:
        try:
            yield local(settings, storage)
        except SinkError as error:  # it went away, or refuses, after the command had begun
            raise UnavailableError(
                str(error), remedy="`portalpulse doctor` checks each part. Then run the command again."
            ) from error
