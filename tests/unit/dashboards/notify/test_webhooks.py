"""The server for Alertmanager's deliveries: many at once, and requests that are none."""

from __future__ import annotations

import socket
from http import HTTPStatus

import pytest

from dashboards.notify.webhooks import WebhookServer

#: As when fifty agencies with six channels fall at once.
AT_ONCE = 600


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
