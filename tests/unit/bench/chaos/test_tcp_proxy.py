"""The TCP proxy: each mode does what it says, and ends when the proxy is opened again."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager

import pytest

from bench.chaos.tcp_proxy import TcpProxy
from deploy.native.ports import LOOPBACK

#: What the server answers to every request, whatever it is.
ANSWER = b"0123456789" * 10


@pytest.fixture
def server():
    """Echoes what it got to ``server.got`` and answers ``ANSWER`` to every piece."""

    class Server:
        got = bytearray()
        broken = 0

        def __init__(self, listener):
            self.port = listener.getsockname()[1]

    with socket.create_server((LOOPBACK, 0)) as listener:
        server = Server(listener)

        def serve(connection):
            with connection:
                try:
                    while piece := connection.recv(1 << 16):
                        server.got += piece
                        connection.sendall(ANSWER)
                except OSError:
                    server.broken += 1

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def proxy(server):
    """An open proxy in front of the server."""
    with TcpProxy(server.port) as proxy:
        yield proxy


@contextmanager
def connected(proxy, *, timeout=60.0):
    """A connection to the proxy."""
    with socket.create_connection((LOOPBACK, proxy.port), timeout=timeout) as connection:
        yield connection


def read(connection, size):
    """Exactly ``size`` bytes, or fewer when the connection ends before."""
    found = b""
    while len(found) < size and (piece := connection.recv(size - len(found))):
        found += piece
    return found


def ended(connection):
    """Whether the connection ends without a byte, by a normal close or by a reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def eventually(condition):
    """Wait for a condition."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_open_it_passes_everything_on(proxy, server):
    """Both directions arrive whole and in order, over one connection and over several."""
    for _ in range(2):
        with connected(proxy) as connection:
            for request in (b"first", b"second"):
                connection.sendall(request)
                assert read(connection, len(ANSWER)) == ANSWER
    assert bytes(server.got) == b"firstsecond" * 2
    assert proxy.counts["accepted"] == 2


def test_refusing_it_resets_and_listens_no_more(proxy):
    """A standing connection is reset, a new one refused at once; opened again, it listens on the same port."""
    with connected(proxy) as standing:
        standing.sendall(b"x")
        assert read(standing, len(ANSWER)) == ANSWER
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            standing.recv(1)
        with pytest.raises(ConnectionRefusedError), connected(proxy):
            pass
    proxy.open()
    with connected(proxy) as connection:
        connection.sendall(b"x")
        assert read(connection, len(ANSWER)) == ANSWER


def test_hanging_it_takes_everything_and_answers_nothing(proxy, server):
    """Old and new connections hang without ending; once it is open again, everything arrives late."""
    with connected(proxy) as standing, connected(proxy) as second:
        for connection in (standing, second):
            connection.sendall(b"a")
            assert read(connection, len(ANSWER)) == ANSWER
        proxy.hang()
        before = bytes(server.got)
        with connected(proxy) as new:
            for connection in (standing, new):
                connection.settimeout(0.2)
                connection.sendall(b"b")
                with pytest.raises(TimeoutError):
                    connection.recv(1)
            assert bytes(server.got) == before
            proxy.open()
            for connection in (standing, new):
                connection.settimeout(5)
                assert read(connection, len(ANSWER)) == ANSWER
    assert bytes(server.got) == before + b"bb"


def test_a_request_that_hung_arrives_after_its_sender_has_left(proxy, server):
    """A request whose sender gave up is delivered when the proxy opens."""
    proxy.hang()
    with connected(proxy) as connection:
        connection.sendall(b"late")
    proxy.open()
    eventually(lambda: bytes(server.got) == b"late")


def test_slow_it_keeps_to_its_rate(proxy):
    """No more bytes a second than the rate; a switch ends the slow mode at once."""
    proxy.slow(200)
    with connected(proxy) as connection:
        connection.sendall(b"x")
        began = time.monotonic()
        assert read(connection, len(ANSWER)) == ANSWER
        assert time.monotonic() - began >= 0.35
        proxy.slow(1)
        connection.sendall(b"x")
        assert read(connection, 1) == ANSWER[:1]
        proxy.open()
        began = time.monotonic()
        assert read(connection, len(ANSWER) - 1) == ANSWER[1:]
        assert time.monotonic() - began < 0.5 * len(ANSWER)


def test_half_an_answer(proxy, server):
    """The request arrives whole; the answer ends after some bytes, as if it were complete."""
    proxy.half_response(37)
    with connected(proxy) as connection:
        connection.sendall(b"whole request")
        assert read(connection, len(ANSWER)) == ANSWER[:37]
        assert connection.recv(1) == b""
    assert bytes(server.got) == b"whole request"
    assert proxy.counts["half_response"] == 1


def test_half_a_request(proxy, server):
    """So much of the request arrives, and its sender gets no answer."""
    proxy.half_request(5)
    with connected(proxy) as connection:
        connection.sendall(b"whole request")
        assert ended(connection)
    eventually(lambda: server.got)
    assert bytes(server.got) == b"whole"
    assert proxy.counts["half_request"] == 1


def test_the_count_begins_with_the_switch(proxy):
    """An existing connection is cut after that many further bytes, not at once."""
    with connected(proxy) as connection:
        connection.sendall(b"x")
        assert read(connection, len(ANSWER)) == ANSWER
        proxy.half_response(7)
        connection.sendall(b"x")
        assert read(connection, len(ANSWER)) == ANSWER[:7]


def test_a_server_that_is_killed_resets_its_clients():
    """A connection reset by the server, as by one that was killed, ends at the client, too, who waits for an answer."""
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        TcpProxy(listener.getsockname()[1]) as proxy,
        connected(proxy) as client,
    ):
        client.sendall(b"request")
        behind, _ = listener.accept()
        assert behind.recv(7) == b"request"
        behind.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        behind.close()
        assert ended(client)


def test_a_server_that_does_not_listen(proxy, server):
    """A connection to a server that does not listen ends without an answer."""
    with socket.create_server((LOOPBACK, 0)) as gone:
        port = gone.getsockname()[1]
    with TcpProxy(port) as lonely:
        try:
            with connected(lonely) as connection:
                answered = not ended(connection)
        except ConnectionResetError:  # it may end before it is fully made
            answered = False
    assert not answered
