"""Pushing boards is idempotent, and whatever goes wrong becomes one sentence with a remedy."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dashboards.grafana.generate import boards
from dashboards.grafana.publish import FOLDER_UID, push
from pipeline.core.errors import UnavailableError

TOKEN = "glsa_test"


class FakeGrafana(BaseHTTPRequestHandler):
    """The few calls of Grafana's API that a push makes; keeps what it is told like the real one (id, version)."""

    def log_message(self, *_):
        pass

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refused(self):
        if self.server.fails_with:
            self.answer(*self.server.fails_with)
            return True
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"message": "Invalid API key"})
            return True
        return False

    def do_GET(self):
        self.server.calls.append(("GET", self.path))
        if self.refused():
            return
        kind, _, uid = self.path.removeprefix(f"{self.server.prefix}/api/").rpartition("/")
        known = self.server.folders if kind == "folders" else self.server.boards
        self.answer(*((200, known[uid]) if uid in known else (404, {"message": "not found"})))

    def do_POST(self):
        self.server.calls.append(("POST", self.path))
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused():
            return
        if self.path.endswith("/api/folders"):
            self.server.folders[content["uid"]] = content
        else:
            board = content["dashboard"]
            before = self.server.boards.get(board["uid"], {"dashboard": {"version": 0}})
            stored = {**board, "id": 12, "version": before["dashboard"]["version"] + 1}
            self.server.boards[board["uid"]] = {"dashboard": stored, "meta": {"folderUid": content["folderUid"]}}
        self.answer(200, {"status": "success"})


@pytest.fixture
def grafana():
    """A fake Grafana on a free port; `fails_with` makes it refuse everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeGrafana)
    server.calls, server.folders, server.boards, server.fails_with, server.prefix = [], {}, {}, None, ""
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def actions(pushed):
    """What became of each board."""
    return [one.action for one in pushed]


def test_a_second_push_changes_nothing(grafana):
    """The first push makes folder and boards, the second finds them equal and writes nothing."""
    assert actions(push(boards(), url=grafana.url, token=TOKEN)) == ["created"]
    written = [call for call in grafana.calls if call[0] == "POST"]
    assert actions(push(boards(), url=grafana.url, token=TOKEN)) == ["unchanged"]
    assert [call for call in grafana.calls if call[0] == "POST"] == written
    assert set(grafana.folders) == {FOLDER_UID}


def test_a_changed_board_is_brought_back(grafana):
    """A board edited in Grafana, or moved out of the folder, is written again."""
    push(boards(), url=grafana.url, token=TOKEN)
    stored = grafana.boards[boards()[0]["uid"]]
    stored["dashboard"]["title"] = "edited"
    assert actions(push(boards(), url=grafana.url, token=TOKEN)) == ["updated"]
    grafana.boards[boards()[0]["uid"]]["meta"]["folderUid"] = "elsewhere"
    assert actions(push(boards(), url=grafana.url, token=TOKEN)) == ["updated"]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_sub_path_is_kept(grafana, end):
    """A Grafana below a sub-path is asked there, with or without a final slash."""
    grafana.prefix = "/giam-sat"
    push(boards(), url=f"{grafana.url}/giam-sat{end}", token=TOKEN)
    assert all(path.startswith("/giam-sat/api/") for _, path in grafana.calls)
    assert set(grafana.boards) == {board["uid"] for board in boards()}


@pytest.mark.parametrize(
    ("failure", "problem", "remedy"),
    [
        ((401, {"message": "no"}), "does not accept the token", "service account"),
        ((403, {"message": "forbidden"}), "refuses the request", "role Editor"),
        ((412, {"message": "provisioned"}), "refuses the request", "provisions"),
        ((400, {"message": "bad"}), "refuses the request", "provisions"),
        ((500, {"message": "broken"}), "fails", "log"),
    ],
)
def test_refusals_carry_a_remedy(grafana, failure, problem, remedy):
    """What Grafana answers becomes a sentence and a remedy, never a traceback; the token stays secret."""
    grafana.fails_with = failure
    with pytest.raises(UnavailableError) as caught:
        push(boards(), url=grafana.url, token=TOKEN)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert TOKEN not in str(caught.value)


def test_a_wrong_token_is_refused(grafana):
    """A token that Grafana does not know is named as the cause."""
    with pytest.raises(UnavailableError, match="does not accept the token"):
        push(boards(), url=grafana.url, token="glsa_other")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:not-a-port", "nonsense"])
def test_no_grafana_there(url):
    """An address at which no Grafana answers, or that is none, is said in one sentence."""
    with pytest.raises(UnavailableError, match="No Grafana answers"):
        push(boards(), url=url, token=TOKEN)
