"""The server for Alertmanager's deliveries: many at once, and requests that are none."""

from __future__ import annotations

import socket
from http import HTTPStatus

import httpx
import pytest

from dashboards.notify.webhooks import WebhookServer

#: As when fifty agencies with six channels fall at once.
AT_ONCE = 600
TOKEN = "a-token-of-sixteen"


@pytest.fixture
def server():
    """A server that listens and takes everything; it answers after ``start``."""
    made = WebhookServer("127.0.0.1", 0, lambda _path, _body: HTTPStatus.OK)
    yield made
    made.stop()


def address(server):
    """Host and port."""
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def test_hundreds_of_deliveries_at_once_are_all_taken(server):
    """A connection that the system refuses to queue is tried again after seconds, and Alertmanager calls it a failure."""
    connections = [socket.create_connection(address(server), timeout=0.9) for _ in range(AT_ONCE)]
    for connection in connections:
        connection.settimeout(60)
        connection.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    server.start()
    answers = []
    for connection in connections:
        with connection:
            answers.append(connection.recv(64).split(b"\r\n")[0])
    assert answers == [b"HTTP/1.0 200 OK"] * AT_ONCE


@pytest.mark.parametrize("length", [b"-1", b"x", b"", b"1e3"])
def test_a_wrong_length_is_refused_at_once(server, length):
    """Nobody waits for a body that does not come."""
    server.start()
    with socket.create_connection(address(server), timeout=60) as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n{}")
        assert connection.recv(64).startswith(b"HTTP/1.0 400")


def delivered(server, **headers):
    """The status of a delivery with these headers."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server.url}/x", json={}, headers=headers, trust_env=False).status_code


def test_a_delivery_needs_the_token():
    """With a token only the token counts, and health needs none; a browser is refused with it."""
    made = WebhookServer("127.0.0.1", 0, lambda _path, _body: HTTPStatus.OK, token=TOKEN)
    made.start()
    try:
        for sent in ({}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer"}):
            assert delivered(made, **sent) == 401, sent
        assert delivered(made, Authorization=f"Bearer {TOKEN}", Host="relay:9095", X_Forwarded_For="192.0.2.1") == 200
        assert delivered(made, Authorization=f"Bearer {TOKEN}", Origin="http://evil.example") == 403
        assert {httpx.get(f"{made.url}/{path}", trust_env=False).status_code for path in ("healthz", "livez")} == {200}
    finally:
        made.stop()


def test_without_a_token_only_this_machine_delivers(server):
    """A proxy, a browser, and a foreign name of this machine are refused."""
    server.start()
    assert delivered(server) == delivered(server, Host="localhost:9095") == delivered(server, Host="[::1]:9095") == 200
    for sent in ({"Host": "evil.example"}, {"Via": "1.1 x"}, {"X_Forwarded_For": "192.0.2.1"}, {"Sec_Fetch_Site": "cross-site"}):
        assert delivered(server, **sent) == 403, sent
