"""Pushes boards to a running Grafana. This is the only module that uses Grafana's API.

A server that reads provisioning files (deploy/grafana) needs no push. The server is checked before anything is written: a login
page of a proxy, another program and an outdated Grafana each have their own error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaTimeoutError, GrafanaUnauthorizedError

from dashboards.grafana.changes import changes
from dashboards.urls import is_http_url
from domain.errors import ConfigurationError, UnavailableError

FOLDER_UID = "portalpulse"
FOLDER_TITLE = "Dịch vụ công trực tuyến"
#: The oldest Grafana that supports the boards.
MIN_VERSION = 12

_NOT_FOUND, _FORBIDDEN, _PRECONDITION = 404, 403, 412
#: Time limit of a request in seconds.
_TIMEOUT = 10.0
#: Maximum length of a server's text in a message.
_MAX_QUOTED = 200
#: A uid of Grafana.
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
#: Kinds of data sources that the boards read, and what stays empty without one.
_DATA_SOURCES = {
    "prometheus": "The boards stay empty until Grafana has one.",
    "grafana-clickhouse-datasource": "History, procedures and dead letters stay empty until Grafana has one.",
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of pushing one board; in a dry run the expected result.

    ``changes``: a line for each change of an updated board.
    """

    uid: str
    action: Literal["created", "updated", "unchanged"]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Push:
    """The results of pushing all boards, and notes about this Grafana."""

    boards: tuple[Pushed, ...]
    notes: tuple[str, ...] = ()


def push(boards: Sequence[dict[str, Any]], *, url: str, token: str, folder: str = FOLDER_UID, dry_run: bool = False) -> Push:
    """Push every board into a folder. Boards that are already there and unchanged are not written.

    Args:
        boards: boards as returned by ``dashboards.grafana.generate.boards``.
        url: address of Grafana, including its sub-path if it has one.
        token: token of a service account with the role Editor.
        folder: uid of the folder, which is created if it is missing.
        dry_run: write nothing, and return what would be written.

    Raises:
        ConfigurationError: address, token or folder is invalid, or Grafana is too old for the boards.
        UnavailableError: no Grafana answers, or it refuses the token or a board; the message says what to do.
    """
    _check_arguments(url, token, folder)
    with _translated(url):
        api = GrafanaApi.from_url(f"{url.rstrip('/')}/", credential=token.strip(), timeout=_TIMEOUT)
        with closing(api.client.s):
            api.client.s.max_redirects = 0  # a redirect leads to a login page or to the correct address
            _check_version(url, _json_object(api.client.GET("/health"), "database"))
            notes = _notes(api, url)
            if _get_or_none(lambda: _json_object(api.folder.get_folder(folder), "uid")) is None and not dry_run:
                _json_object(api.folder.create_folder(FOLDER_TITLE if folder == FOLDER_UID else folder, uid=folder), "uid")
            return Push(tuple(_push_one(api, board, folder, dry_run=dry_run) for board in boards), notes)


def _check_arguments(url: str, token: str, folder: str) -> None:
    if not is_http_url(url):
        remedy = f"Write http://{url} or https://{url}." if "://" not in url else "Write it as http://127.0.0.1:3000."
        raise ConfigurationError(f"--url {url!r} is not the address of a web server.", remedy=remedy)
    if not token.strip():
        raise ConfigurationError(
            "The token of Grafana is empty.",
            remedy="Create a token for a service account and pass it as --token or GRAFANA_TOKEN.",
        )
    if not token.strip().isascii() or any(sign.isspace() for sign in token.strip()):
        raise ConfigurationError(
            "The token of Grafana contains characters that are not allowed in a token.", remedy="Copy it again."
        )
    if not _UID.fullmatch(folder):
        raise ConfigurationError(
            f"--folder {folder!r} is not the uid of a folder.",
            remedy="Copy the uid from the end of the folder's address in the browser. It has letters, digits, - and _.",
        )


def _check_version(url: str, health: Mapping[str, Any]) -> None:
    version = re.match(r"\d+", str(health.get("version", "")))
    if version and int(version[0]) < MIN_VERSION:  # Grafana may be configured to hide its version
        raise ConfigurationError(
            f"Grafana at {url} is version {health['version']}; the boards need {MIN_VERSION} or newer.",
            remedy="Update Grafana.",
        )


def _notes(api: Any, url: str) -> tuple[str, ...]:
    """Notes on conditions of this Grafana under which the boards stay empty."""
    sources = _json_object(api.client.GET("/frontend/settings")).get("datasources")
    if not isinstance(sources, dict):
        return ()
    kinds = {source.get("type") for source in sources.values() if isinstance(source, dict)}
    return tuple(
        f"Grafana at {url} has no data source of the type {kind}. {consequence}"
        for kind, consequence in _DATA_SOURCES.items()
        if kind not in kinds
    )


def _push_one(api: Any, board: dict[str, Any], folder: str, *, dry_run: bool) -> Pushed:
    uid = board["uid"]
    stored = _get_or_none(lambda: _json_object(api.dashboard.get_dashboard(uid), "dashboard", "meta"))
    found: tuple[str, ...] = ()
    if stored is not None:
        found = _changes(_json_object(stored["dashboard"]), board, _json_object(stored["meta"]).get("folderUid"), folder)
        if not found:
            return Pushed(uid, "unchanged")
    if not dry_run:
        request = {"dashboard": board, "folderUid": folder, "overwrite": True, "message": "portalpulse boards push"}
        _json_object(api.dashboard.update_dashboard(request), "status")
    return Pushed(uid, "created" if stored is None else "updated", found)


def _changes(stored: Mapping[str, Any], board: Mapping[str, Any], current_folder: Any, folder: str) -> tuple[str, ...]:
    """The differences between a stored board and the new one, including its folder."""
    moved = () if current_folder == folder else (f"~folder: {current_folder or 'none'} -> {folder}",)
    return (*moved, *changes(stored, board))


class _NotGrafanaError(Exception):
    """The server's answer cannot come from Grafana."""


def _json_object(answer: Any, *fields: str) -> dict[str, Any]:
    """The answer, checked to be a JSON object with these fields."""
    if not isinstance(answer, dict) or not all(name in answer for name in fields):
        raise _NotGrafanaError
    return answer


def _get_or_none(request: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The answer of a request, or None when Grafana reports that the object does not exist."""
    try:
        return request()
    except GrafanaClientError as error:
        if error.status_code == _NOT_FOUND and isinstance(error.response, dict):
            return None
        raise


def _status_and_message(error: GrafanaException) -> str:
    """The status and the message of Grafana's error."""
    message = error.response.get("message") if isinstance(error.response, dict) else None
    return f"status {error.status_code}" + (f", {' '.join(str(message).split())[:_MAX_QUOTED].rstrip('.')}" if message else "")


def _remedy(error: GrafanaClientError) -> str:
    if error.status_code == _FORBIDDEN:
        return "Give the service account the role Editor."
    if error.status_code == _NOT_FOUND:
        return "Compare the address with the one in the browser. It must include the sub-path."
    if error.status_code == _PRECONDITION and error.response.get("status") == "version-mismatch":
        return "Somebody saved the board at the same moment. Push again."
    if error.status_code == _PRECONDITION:
        return "Rename or delete the existing board, or push into another folder with --folder."
    if "provision" in _status_and_message(error).lower():
        return "Grafana provisions this board from a file. Change the file, or delete it and push again."
    return "See the log of Grafana for details."


@contextmanager
def _translated(url: str) -> Iterator[None]:
    not_grafana = UnavailableError(
        f"The server at {url} is not the API of Grafana.",
        remedy="It may be a login page, a proxy or another program. Use the address at which Grafana itself accepts tokens.",
    )
    try:
        yield
    except _NotGrafanaError as error:
        raise not_grafana from error
    except GrafanaUnauthorizedError as error:
        raise UnavailableError(
            f"Grafana at {url} does not accept the token.", remedy="Create a token for a service account and pass it."
        ) from error
    except GrafanaTimeoutError as error:
        raise UnavailableError(
            f"Grafana at {url} did not answer within {_TIMEOUT:.0f} s.",
            remedy="Check whether it is overloaded, then retry.",
        ) from error
    except GrafanaClientError as error:
        if not isinstance(error.response, dict):
            raise not_grafana from error
        raise UnavailableError(
            f"Grafana at {url} refuses the request ({_status_and_message(error)}).", remedy=_remedy(error)
        ) from error
    except GrafanaException as error:
        raise UnavailableError(
            f"Grafana at {url} failed ({_status_and_message(error)}).", remedy="See its log for the cause, then retry."
        ) from error
    except (OSError, ValueError) as error:  # no connection, a redirect, or an answer that is not JSON
        redirect = getattr(error, "response", None)
        if redirect is not None and (target := redirect.headers.get("Location")):
            raise UnavailableError(
                f"{url} redirects to {str(target)[:_MAX_QUOTED]}.",
                remedy="Use that address if it is Grafana's. A login page accepts no token.",
            ) from error
        if isinstance(error, ValueError):
            raise not_grafana from error
        raise UnavailableError(
            f"No Grafana answers at {url}.", remedy="Start it, or correct --url (for example http://127.0.0.1:3000)."
        ) from error
