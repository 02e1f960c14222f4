"""The calls that a push makes mean the same to grafana-client and to grafana-api, the archived library that it replaced."""

from __future__ import annotations

import grafana_client
import pytest
from grafana_api.grafana_face import GrafanaFace
from grafana_client.client import GrafanaException

from tests.grafana_stand_in import TOKEN, grafana_stand_in

BOARD = {"uid": "b", "title": "Bảng", "panels": []}


def new(server, token):
    """The library that the product uses."""
    return grafana_client.GrafanaApi.from_url(f"{server.url}/", credential=token)


def archived(server, token):
    """The library that is no longer maintained."""
    return GrafanaFace(auth=token, host="127.0.0.1", port=server.server_port)


def saved(api, **changed):
    """Save the board into the folder."""
    return api.dashboard.update_dashboard({"dashboard": BOARD, "folderUid": "f", "overwrite": True} | changed)


#: Every call of a push that both libraries have, in the order of a push; then those that are refused.
CALLS = [
    lambda api: api.folder.create_folder("Thư mục", uid="f"),
    lambda api: api.folder.get_folder("f"),
    saved,
    lambda api: api.dashboard.get_dashboard("b"),
    saved,
    lambda api: api.dashboard.get_dashboard("b"),
    lambda api: api.folder.get_folder("none"),
    lambda api: api.dashboard.get_dashboard("none"),
    lambda api: api.folder.create_folder("Thư mục", uid="f"),
    lambda api: saved(api, overwrite=False),
    lambda api: saved(api, folderUid="none"),
]


def answers(make, token=TOKEN, **faults):
    """What a library makes of every answer, and the requests that it sent."""
    with grafana_stand_in() as server:
        for name, value in faults.items():
            setattr(server, name, value)
        api, found = make(server, token), []
        for call in CALLS:
            try:
                found.append(call(api))
            except Exception as error:  # noqa: BLE001 - each library has errors of its own
                found.append((type(error).__name__, error.status_code, error.response))
        return found, server.calls


@pytest.mark.parametrize(
    "faults",
    [{}, {"token": "wrong"}, {"fails_with": (403, {"message": "no"})}, {"fails_with": (500, {"message": "broken"})}],
    ids=["sound", "401", "403", "500"],
)
def test_both_libraries_send_and_see_the_same(faults):
    """Requests, answers and errors are the same: the stand-in suits more than the library of the product."""
    found, sent = answers(new, **faults)
    assert (found, sent) == answers(archived, **faults)
    if not faults:
        assert [one[1] for one in found if isinstance(one, tuple)] == [404, 404, 412, 412, 400]
        assert [found[number]["dashboard"]["version"] for number in (3, 5)] == [1, 2]
    else:
        assert {one[1] for one in found} <= {401, 403, 500}
    assert issubclass(GrafanaException, Exception)
