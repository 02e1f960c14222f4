"""Ports are free, different and outside the range of outgoing connections."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from deploy.native.ports import ATTEMPTS, PORTS, free_ports, is_listening
from domain.errors import UnavailableError


def test_ports_are_different_and_can_be_listened_on():
    """All returned ports can be bound at the same time."""
    ports = free_ports(20)
    sockets = []
    for port in ports:
        server = socket.create_server(("127.0.0.1", port))
        sockets.append(server)
        assert is_listening(port)
    assert len(set(ports)) == 20
    for server in sockets:
        server.close()


def test_a_port_in_use_is_not_returned():
    """With the same random source the next port is chosen once the first is taken."""
    (first,) = free_ports(1, source=random.Random(7))
    with socket.create_server(("127.0.0.1", first)):
        (second,) = free_ports(1, source=random.Random(7))
    assert second != first


def test_too_many_ports_is_an_error_of_ours():
    """More ports than can be found is an error with a remedy."""
    with pytest.raises(UnavailableError, match="free ports"):
        free_ports(ATTEMPTS + 1)


def test_ports_lie_below_those_of_outgoing_connections():
    """The connection of a client never takes a port between the check and its use, nor during a restart."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert lowest >= PORTS.stop
