"""Answers of ClickHouse that are cut anywhere: either the complete answer or a retryable error, never a shorter answer."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.chaos.tcp_proxy import TcpProxy
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, Retryable, SinkError

#: Distance of the cuts in bytes: a prime, so that the cuts in the headers hit every kind of position.
STRIDE = 37

CALLS = {
    "rows": lambda clickhouse: [
        tuple(row) for row in clickhouse.rows("test", "SELECT number, toString(number) FROM numbers(30)")
    ],
    "stream": lambda clickhouse: b"".join(clickhouse.stream("test", "SELECT number FROM numbers(30)", {}, "JSONEachRow")),
    "command": lambda clickhouse: clickhouse.command("test", "INSERT INTO cut SELECT 1"),
    "insert": lambda clickhouse: clickhouse.insert("test", "cut", ["a"], b"1\n2\n", "TSV"),
}


@pytest.fixture
def gated(clickhouse_server, empty_url):
    """A client that connects through a proxy, and the proxy."""
    with TcpProxy(clickhouse_server.http_port) as proxy:
        target = Target.parse(empty_url.replace(str(clickhouse_server.http_port), str(proxy.port)), timeout=5)
        clickhouse = ClickHouse(target)
        clickhouse.create_database()
        clickhouse.command("test", "CREATE TABLE IF NOT EXISTS cut (a UInt64) ENGINE = MergeTree ORDER BY a")
        yield clickhouse, proxy
        proxy.open()
        clickhouse.command("test", f"DROP DATABASE {target.database}")
        clickhouse.close()


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_cut_anywhere_is_an_error_or_whole(gated, call):
    """An answer that is cut after any number of bytes, in headers or body, is Retryable; only a complete one is accepted."""
    clickhouse, proxy = gated
    whole = CALLS[call](clickhouse)
    for cut in range(1, 10_000, STRIDE):
        proxy.half_response(cut)
        cuts = proxy.counts["half_response"]
        try:
            found = CALLS[call](clickhouse)
        except Retryable:
            assert proxy.counts["half_response"] > cuts
        else:
            assert found == whole, f"cut after {cut} bytes"
            if proxy.counts["half_response"] == cuts:
                break  # it was shorter than the cut
    assert cut > 500  # the headers alone are longer


def test_a_request_cut_in_the_middle_stores_all_or_nothing(gated):
    """An insert whose body is cut is Retryable, and none of its rows is stored."""
    clickhouse, proxy = gated
    body = b"".join(b"%d\n" % number for number in range(100_000))
    for cut in (50, 1_000, len(body) // 2, len(body)):
        proxy.half_request(cut)
        with pytest.raises(Retryable):
            clickhouse.insert("test", "cut", ["a"], iter([body[:300_000], body[300_000:]]), "TSV")
    proxy.open()
    assert clickhouse.rows("test", "SELECT count() FROM cut")[0][0] == 0


def _name(text):
    return bytes([len(text)]) + text


#: The port that a peer connects to, what it sends, and how many bytes it reads before it resets the connection.
RESETS = {
    "http: nothing sent": ("http_port", b"", 0),
    "http: half of the headers": ("http_port", b"POST /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nContent-Le", 0),
    "http: half of the body": (
        "http_port",
        b"POST /?query=INSERT+INTO+FUNCTION+null(%27x+String%27)+FORMAT+TSV HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\na",
        0,
    ),
    "http: half of the answer": (
        "http_port",
        b"GET /?query=SELECT+number+FROM+numbers(100000000) HTTP/1.1\r\nHost: x\r\n\r\n",
        1_000,
    ),
    "http: between two requests": ("http_port", b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    "tcp: nothing sent": ("tcp_port", b"", 0),
    "tcp: half of the greeting": ("tcp_port", b"\x00\x04test\x01\x01", 0),
    "tcp: between two packets": (
        "tcp_port",
        b"\x00" + _name(b"test") + b"\x01\x01\xc0\xa7\x03" + _name(b"") + _name(b"default") + _name(b""),
        1,
    ),
}


@pytest.mark.parametrize("state", RESETS)
def test_a_reset_connection_does_not_end_the_server(clickhouse_server, state):
    """The test server survives peers that reset their connection at any moment, like the real clickhouse-server."""
    port, sent, awaited = RESETS[state]
    process = clickhouse_server.process.pid
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", getattr(clickhouse_server, port)), timeout=60) as peer:
            peer.sendall(sent)
            if awaited:
                peer.recv(awaited)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert clickhouse_server.query("SELECT 1") == "1"
    assert clickhouse_server.process.pid == process


@contextmanager
def answering(answer):
    """The address of a server that sends this answer to every request and closes the connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


@pytest.mark.parametrize(
    "headers",
    [
        b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nTransfer-Encoding: ch\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nContent-Length: \r\n\r\n",
    ],
)
def test_an_answer_without_a_length_was_cut(headers):
    """Cut headers, which some HTTP libraries treat as an answer that ends with its connection, are never accepted."""
    with answering(headers) as url:
        clickhouse = ClickHouse(Target.parse(url, timeout=5))
        with pytest.raises(Retryable):
            clickhouse.rows("test", "SELECT 1")
        clickhouse.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_gateway_without_its_server_may_be_asked_again(status):
    """A proxy that cannot reach ClickHouse answers with a status and no code: Retryable, like no answer."""
    with answering(b"HTTP/1.1 %d No\r\nContent-Length: 3\r\n\r\nbad" % status) as url:
        clickhouse = ClickHouse(Target.parse(url, timeout=5))
        with pytest.raises(Retryable):
            clickhouse.rows("test", "SELECT 1")
        clickhouse.close()


@pytest.mark.parametrize("status", [401, 403, 404, 413])
def test_a_gateway_that_refuses_us_stops(status):
    """A proxy that requires a password or does not know the path needs a person: Fatal."""
    with answering(b"HTTP/1.1 %d No\r\nContent-Length: 3\r\n\r\nbad" % status) as url:
        clickhouse = ClickHouse(Target.parse(url, timeout=5))
        with pytest.raises(Fatal):
            clickhouse.rows("test", "SELECT 1")
        clickhouse.close()


def _chunks(body, length):
    """A chunk that says to have ``length`` bytes."""
    return b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % length + body


def _whole(body):
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


#: What a proxy makes of an answer: from its headers and its body, everything behind the status line.
CHANGES = {
    "headers removed": lambda _, body: _whole(body),
    "half a chunk": lambda headers, body: headers + _chunks(body[: len(body) // 2], len(body)),
    "the last chunk missing": lambda headers, body: headers + _chunks(body, len(body)) + b"\r\n",
    "half of it": lambda headers, body: headers + _whole(body[: len(body) // 2]),
    "a byte less": lambda headers, body: headers + _whole(body[:-1]),
    "nothing": lambda headers, _: headers + _whole(b""),
    "other bytes": lambda headers, body: headers + _whole(bytes(byte ^ 0xB5 for byte in body)),
    "a page": lambda _, __: b"Content-Type: text/html\r\n" + _whole("<html>Đăng nhập</html>".encode()),
    "no gzip": lambda headers, body: headers + b"Content-Encoding: gzip\r\n" + _whole(body),
    "a page of a gateway": lambda _, __: b"502",
    "a login": lambda _, __: b"302",
}
READS = CALLS | {
    "counted rows": lambda clickhouse: clickhouse.counted_rows("test", "SELECT number, count() OVER () FROM numbers(30)"),
    "table": lambda clickhouse: clickhouse.table("test", "SELECT number FROM numbers(30)").to_pydict(),
    "batches": lambda clickhouse: [row for batch in clickhouse.batches("test", "SELECT 1 AS a") for row in batch.to_pylist()],
}
#: A stream of lines may end between two of them. Calls that return nothing have nothing that could be wrong.
LOOKS_WHOLE = ("stream", "command", "insert")


class ChangingProxy(BaseHTTPRequestHandler):
    """Hands requests on to a ClickHouse server, and changes answers as the test says."""

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self._body()
        headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=30)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        passed = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
        connection.close()
        head = "".join(f"{name}: {value}\r\n" for name, value in passed).encode("latin-1")
        change = CHANGES.get(self.server.change, lambda headers, body: headers + _whole(body))
        changed = change(head, content)
        status = {b"502": b"502 Bad Gateway", b"302": b"302 Found"}.get(changed, b"%d OK" % answer.status)
        if len(changed) == 3:
            changed = b"Location: http://127.0.0.1:1/login\r\n" + _whole(b"<html></html>")
        self.wfile.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n" + changed)
        self.close_connection = True

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while length := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_):
        pass


HOP = ("transfer-encoding", "content-length", "connection", "keep-alive")
PASSED = ("authorization", "content-type", "x-clickhouse-user", "x-clickhouse-key", "accept-encoding", "content-encoding")


@pytest.fixture
def changing(clickhouse_server):
    """A proxy in front of a real server."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), ChangingProxy)
    proxy.behind, proxy.change = clickhouse_server.http_port, ""
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_that_a_proxy_changes_is_an_error(changing, clickhouse_server, change):
    """Whatever a proxy makes of an answer, a call ends with an error of the storage, not of a parser, never a wrong answer."""
    changing.change = ""
    address = clickhouse_server.url("default").replace(str(clickhouse_server.http_port), str(changing.server_port))
    clickhouse = ClickHouse(Target.parse(address, timeout=5))
    clickhouse.command("test", "CREATE TABLE IF NOT EXISTS cut (a UInt64) ENGINE = MergeTree ORDER BY a")
    for name, call in READS.items():
        changing.change = ""
        whole = call(clickhouse)
        changing.change = change
        try:
            found = call(clickhouse)
        except SinkError:
            continue
        assert found == whole or name in LOOKS_WHOLE, name
    changing.change = ""
    clickhouse.command("test", "DROP TABLE cut")
    clickhouse.close()
