"""Pushes boards to a running Grafana; the only module that talks to Grafana's API.

A server that reads provisioning files (deploy/grafana) needs no push.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaTimeoutError, GrafanaUnauthorizedError

from pipeline.core.errors import UnavailableError

FOLDER_UID = "portalpulse"
FOLDER_TITLE = "Dịch vụ công trực tuyến"

_NOT_FOUND, _FORBIDDEN = 404, 403
#: What Grafana itself adds to a stored board.
_GRAFANA_OWN = ("id", "version")
#: Seconds to wait for any answer.
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one board."""

    uid: str
    action: Literal["created", "updated", "unchanged"]


def push(boards: Sequence[dict[str, Any]], *, url: str, token: str) -> list[Pushed]:
    """Bring every board into the folder of portalpulse; a board that is there already and equal is left alone.

    Args:
        boards: boards as ``dashboards.grafana.generate.boards`` makes them.
        url: address of Grafana, with its sub-path when it has one.
        token: token of a service account with the role Editor.

    Raises:
        UnavailableError: Grafana cannot be reached, refuses the token or a board; the message says what to do.
    """
    with _translated(url):
        api = GrafanaApi.from_url(f"{url.rstrip('/')}/", credential=token, timeout=_TIMEOUT)
        if _found(lambda: api.folder.get_folder(FOLDER_UID)) is None:
            api.folder.create_folder(FOLDER_TITLE, uid=FOLDER_UID)
        return [_push_one(api, board) for board in boards]


def _push_one(api: Any, board: dict[str, Any]) -> Pushed:
    uid = board["uid"]
    stored = _found(lambda: api.dashboard.get_dashboard(uid))
    in_place = stored is not None and stored["meta"].get("folderUid") == FOLDER_UID
    if in_place and _content(stored["dashboard"]) == _content(board):
        return Pushed(uid, "unchanged")
    api.dashboard.update_dashboard(
        {"dashboard": board, "folderUid": FOLDER_UID, "overwrite": True, "message": "portalpulse boards push"}
    )
    return Pushed(uid, "created" if stored is None else "updated")


def _content(board: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in board.items() if name not in _GRAFANA_OWN}


def _found(ask: Any) -> Any:
    """The answer, or None when Grafana says that there is no such thing."""
    try:
        return ask()
    except GrafanaClientError as error:
        if error.status_code == _NOT_FOUND:
            return None
        raise


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
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
        if error.status_code == _FORBIDDEN:
            remedy = "Give the service account the role Editor."
        else:
            remedy = "Compare the address with the one in the browser; a board that Grafana provisions cannot be pushed."
        raise UnavailableError(f"Grafana at {url} refuses the request: {error.message}.", remedy=remedy) from error
    except GrafanaException as error:
        raise UnavailableError(f"Grafana at {url} fails: {error.message}.", remedy="Its log tells why; then retry.") from error
    except (OSError, ValueError) as error:  # no connection; an answer that is no JSON; an address that is none
        raise UnavailableError(
            f"No Grafana answers at {url}.", remedy="Start it, or correct --url (for example http://127.0.0.1:3000)."
        ) from error
