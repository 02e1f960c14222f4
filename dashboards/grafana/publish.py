"""Pushes boards to a running Grafana; the only module that talks to Grafana's API.

A server that reads provisioning files (deploy/grafana) needs no push. What answers is looked at before anything is written:
a login page of a proxy, another program and a Grafana that is too old are told apart.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaTimeoutError, GrafanaUnauthorizedError

from domain.errors import ConfigurationError, UnavailableError

FOLDER_UID = "portalpulse"
FOLDER_TITLE = "Dịch vụ công trực tuyến"
#: The oldest Grafana that knows what the boards use.
LEAST_VERSION = 12

_NOT_FOUND, _FORBIDDEN, _PRECONDITION = 404, 403, 412
#: What Grafana itself adds to a stored board.
_GRAFANA_OWN = ("id", "version")
#: Seconds to wait for any answer.
_TIMEOUT = 10.0
#: Characters of a foreign answer that are shown.
_SHOWN = 200
#: What a uid of Grafana may hold.
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_DATA_SOURCE = "prometheus"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one board, or would become of it. ``changes``: lines of a diff, for a board that is updated."""

    uid: str
    action: Literal["created", "updated", "unchanged"]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Push:
    """The boards and what is worth knowing about the Grafana that has them."""

    boards: tuple[Pushed, ...]
    notes: tuple[str, ...] = ()


def push(boards: Sequence[dict[str, Any]], *, url: str, token: str, folder: str = FOLDER_UID, dry_run: bool = False) -> Push:
    """Bring every board into a folder; a board that is there already and equal is left alone.

    Args:
        boards: boards as ``dashboards.grafana.generate.boards`` makes them.
        url: address of Grafana, with its sub-path when it has one.
        token: token of a service account with the role Editor.
        folder: uid of the folder; one that is missing is made.
        dry_run: write nothing, and say what would be written.

    Raises:
        ConfigurationError: address, token or folder cannot be right, or Grafana is too old for the boards.
        UnavailableError: Grafana cannot be reached, is none, refuses the token or a board; the message says what to do.
    """
    _check_arguments(url, token, folder)
    with _translated(url):
        api = GrafanaApi.from_url(f"{url.rstrip('/')}/", credential=token.strip(), timeout=_TIMEOUT)
        api.client.s.max_redirects = 0  # a redirect leads to a login page, or to the address that should have been given
        _check_version(url, _object(api.client.GET("/health"), "database"))
        notes = _notes(api, url)
        if _found(lambda: _object(api.folder.get_folder(folder), "uid")) is None and not dry_run:
            _object(api.folder.create_folder(FOLDER_TITLE if folder == FOLDER_UID else folder, uid=folder), "uid")
        return Push(tuple(_push_one(api, board, folder, dry_run=dry_run) for board in boards), notes)


def _check_arguments(url: str, token: str, folder: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        remedy = f"Write http://{url} or https://{url}." if "://" not in url else "Write it as http://127.0.0.1:3000."
        raise ConfigurationError(f"--url {url!r} is no address of a web server.", remedy=remedy)
    if not token.strip():
        raise ConfigurationError(
            "The token of Grafana is empty.",
            remedy="Create a token for a service account and give it as --token or GRAFANA_TOKEN.",
        )
    if not token.strip().isascii() or any(sign.isspace() for sign in token.strip()):
        raise ConfigurationError("The token of Grafana has characters that no token has.", remedy="Copy it again.")
    if not _UID.fullmatch(folder):
        raise ConfigurationError(
            f"--folder {folder!r} is no uid of a folder.",
            remedy="The address of the folder in the browser ends with it: letters, digits, - and _.",
        )


def _check_version(url: str, health: Mapping[str, Any]) -> None:
    version = re.match(r"\d+", str(health.get("version", "")))
    if version and int(version[0]) < LEAST_VERSION:  # a Grafana may hide its version
        raise ConfigurationError(
            f"Grafana at {url} is version {health['version']}; the boards need {LEAST_VERSION} or newer.",
            remedy="Update Grafana.",
        )


def _notes(api: Any, url: str) -> tuple[str, ...]:
    """What would keep the boards empty."""
    sources = _object(api.client.GET("/frontend/settings")).get("datasources")
    if isinstance(sources, dict) and not any(
        isinstance(source, dict) and source.get("type") == _DATA_SOURCE for source in sources.values()
    ):
        return (f"Grafana at {url} has no data source of the type {_DATA_SOURCE}: the boards stay empty until it has one.",)
    return ()


def _push_one(api: Any, board: dict[str, Any], folder: str, *, dry_run: bool) -> Pushed:
    uid = board["uid"]
    stored = _found(lambda: _object(api.dashboard.get_dashboard(uid), "dashboard", "meta"))
    changes: tuple[str, ...] = ()
    if stored is not None:
        changes = _changes(_object(stored["dashboard"]), board, _object(stored["meta"]).get("folderUid"), folder)
        if not changes:
            return Pushed(uid, "unchanged")
    if not dry_run:
        request = {"dashboard": board, "folderUid": folder, "overwrite": True, "message": "portalpulse boards push"}
        _object(api.dashboard.update_dashboard(request), "status")
    return Pushed(uid, "created" if stored is None else "updated", changes)


def _changes(stored: Mapping[str, Any], board: Mapping[str, Any], at: Any, folder: str) -> tuple[str, ...]:
    """The lines in which a stored board differs from what it shall be, and its place."""
    moved = () if at == folder else (f"-folder {at or '(none)'}", f"+folder {folder}")
    before, after = _lines(stored), _lines(board)
    if before == after:
        return moved
    return (*moved, *difflib.unified_diff(before, after, "Grafana", "portalpulse", lineterm="", n=1))


def _lines(board: Mapping[str, Any]) -> list[str]:
    content = {name: value for name, value in board.items() if name not in _GRAFANA_OWN}
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True).splitlines()


class _NotGrafanaError(Exception):
    """An answer that Grafana does not give."""


def _object(answer: Any, *fields: str) -> dict[str, Any]:
    """The answer, when it is an object with these fields."""
    if not isinstance(answer, dict) or not all(name in answer for name in fields):
        raise _NotGrafanaError
    return answer


def _found(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The answer, or None when Grafana says that there is no such thing."""
    try:
        return ask()
    except GrafanaClientError as error:
        if error.status_code == _NOT_FOUND and isinstance(error.response, dict):
            return None
        raise


def _said(error: GrafanaException) -> str:
    """What Grafana says of an error, in its own words and without the form around them."""
    said = error.response.get("message") if isinstance(error.response, dict) else None
    return f"status {error.status_code}" + (f", {' '.join(str(said).split())[:_SHOWN].rstrip('.')}" if said else "")


def _remedy(error: GrafanaClientError) -> str:
    if error.status_code == _FORBIDDEN:
        return "Give the service account the role Editor."
    if error.status_code == _NOT_FOUND:
        return "Compare the address with the one in the browser: a sub-path belongs to it."
    if error.status_code == _PRECONDITION:
        return "Rename or delete the board that stands in the way, or push into another folder with --folder."
    if "provision" in _said(error).lower():
        return "Grafana makes this board from a file: change the file, or delete it and push again."
    return "Its log tells more."


@contextmanager
def _translated(url: str) -> Iterator[None]:
    login = UnavailableError(
        f"What answers at {url} is not the API of Grafana.",
        remedy="A login page, a proxy or another program stands there: give the address at which Grafana itself takes tokens.",
    )
    try:
        yield
    except _NotGrafanaError as error:
        raise login from error
    except GrafanaUnauthorizedError as error:
        raise UnavailableError(
            f"Grafana at {url} does not accept the token.", remedy="Create a token for a service account and pass it."
        ) from error
    except GrafanaTimeoutError as error:
        raise UnavailableError(
            f"Grafana at {url} did not answer within {_TIMEOUT:.0f} s.",
            remedy="See whether it is overloaded, then retry.",
        ) from error
    except GrafanaClientError as error:
        if not isinstance(error.response, dict):
            raise login from error
        raise UnavailableError(f"Grafana at {url} refuses the request ({_said(error)}).", remedy=_remedy(error)) from error
    except GrafanaException as error:
        raise UnavailableError(f"Grafana at {url} fails ({_said(error)}).", remedy="Its log tells why; then retry.") from error
    except (OSError, ValueError) as error:  # no connection; a redirect; an answer that is no JSON
        redirect = getattr(error, "response", None)
        if redirect is not None and (target := redirect.headers.get("Location")):
            raise UnavailableError(
                f"{url} leads on to {str(target)[:_SHOWN]}.",
                remedy="Give that address when it is Grafana's; a page to log in takes no token, so go around it.",
            ) from error
        if isinstance(error, ValueError):
            raise login from error
        raise UnavailableError(
            f"No Grafana answers at {url}.", remedy="Start it, or correct --url (for example http://127.0.0.1:3000)."
        ) from error
