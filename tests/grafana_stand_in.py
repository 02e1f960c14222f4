"""A stand-in for Grafana's HTTP API: the calls that a push makes, answered and refused as by the real one.

What it stores is what a real Grafana stores: the board with ``id`` and a ``version`` that grows with every save, and its folder.
``tests/unit/dashboards/test_grafana_clients.py`` holds two client libraries to it.
"""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "glsa_test"
#: The administrator with the password of the tests.
ADMIN = "Basic " + base64.b64encode(b"admin:secret").decode()
ALL_SOURCES = {
    "Prometheus": {"type": "prometheus"},
    "ClickHouse": {"type": "grafana-clickhouse-datasource"},
    "-- Grafana --": {"type": "datasource"},
}


class _Handler(BaseHTTPRequestHandler):
    """One request. ``server`` holds the state and what is to go wrong."""

    def log_message(self, *_):
        pass

    def answer(self, status, content, kind="application/json", **headers):
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begun(self):
        """The body of the request, and whether it is answered already: by what goes wrong, or because no token is needed."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.calls.append((self.command, self.path, body))
        if self.server.says is not None:
            status, content, kind, headers = self.server.says
            self.answer(status, content, kind, **headers)
            return body, True
        known = {"health": {"database": "ok", "version": self.server.version}, "frontend/settings": self.server.settings}
        if self.command == "GET" and (name := self.path.removeprefix(f"{self.server.prefix}/api/")) in known:
            self.answer(200, known[name])
            return body, True
        if self.server.fails_with:
            self.answer(*self.server.fails_with)
            return body, True
        if self.headers.get("Authorization") not in {f"Bearer {TOKEN}", ADMIN}:
            self.answer(401, {"message": "Invalid API key"})
            return body, True
        return body, False

    def do_GET(self):
        _, answered = self.begun()
        if answered:
            return
        if self.path.startswith("/api/plugins"):
            self.answer(200, [{"id": name} for name in self.server.plugins])
            return
        kind, _, uid = self.path.removeprefix(f"{self.server.prefix}/api/").rpartition("/")
        known = {"folders": self.server.folders, "dashboards/uid": self.server.boards}.get(kind)
        if known is None:
            self.answer(404, {"message": "Not found"})
        elif uid in known:
            self.answer(200, known[uid])
        else:
            self.answer(404, {"message": f"{'folder' if kind == 'folders' else 'Dashboard'} not found"})

    def do_POST(self):
        content, answered = self.begun()
        if answered:
            return
        if self.path == "/api/serviceaccounts":
            self.answer(201, {"id": 3, **content})
        elif self.path.startswith("/api/serviceaccounts/"):
            self.answer(200, {"key": TOKEN})
        elif self.path == "/api/ds/query":
            error = {"error": self.server.query_error} if self.server.query_error else {"frames": []}
            self.answer(200, {"results": {query["refId"]: error for query in content["queries"]}})
        elif self.path.endswith("/api/folders"):
            self._create_folder(content)
        else:
            self._save(content)

    def _create_folder(self, content):
        if content["uid"] in self.server.folders:
            self.answer(412, {"message": "the folder has been changed by someone else"})
            return
        self.server.folders[content["uid"]] = {"id": 7, "uid": content["uid"], "title": content["title"], "version": 1}
        self.answer(200, self.server.folders[content["uid"]])

    def _save(self, content):
        board, uid = content["dashboard"], content["dashboard"]["uid"]
        before = self.server.boards.get(uid)
        if content.get("folderUid") not in self.server.folders:
            self.answer(400, {"message": "folder not found"})
        elif before is not None and not content.get("overwrite"):
            self.answer(412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"})
        else:
            version = 1 + (before["dashboard"]["version"] if before else 0)
            stored = {**board, "id": before["dashboard"]["id"] if before else 100 + len(self.server.boards), "version": version}
            meta = {"type": "db", "canSave": True, "folderUid": content["folderUid"], "version": version, "url": f"/d/{uid}/x"}
            self.server.boards[uid] = {"meta": meta, "dashboard": stored}
            answer = {"id": stored["id"], "uid": uid, "url": meta["url"], "status": "success", "version": version}
            self.answer(200, answer)


@contextmanager
def grafana_stand_in():
    """A stand-in on a free port.

    ``calls``: (method, path, body) of every request. ``says``: answers everything, as a login page would; ``fails_with``: refuses
    everything that needs a token; ``query_error``: what every query fails with. ``version``, ``settings``, ``prefix`` and
    ``plugins`` are those of the server.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.calls, server.folders, server.boards, server.fails_with, server.prefix = [], {}, {}, None, ""
    server.says, server.version = None, "12.4.3"
    server.settings, server.query_error = {"datasources": ALL_SOURCES}, ""
    server.plugins = ["prometheus", "grafana-clickhouse-datasource", "stat", "table", "timeseries", "bargauge", "state-timeline"]
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
