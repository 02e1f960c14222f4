"""Ports are free, different and outside the range of outgoing connections."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
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


def test_a_port_is_given_once():
    """A port that was given out is not given again, although nothing listens there yet."""
    (first,) = free_ports(1, source=random.Random(11))
    (second,) = free_ports(1, source=random.Random(11))
    assert second != first


def test_a_port_belongs_to_its_process_until_it_ends():
    """Another process is not given the port, which nobody listens on, until its process ends by any means."""
    choose = (
        "import random; from deploy.native.ports import free_ports; print(*free_ports(1, source=random.Random(13)), flush=True)"
    )
    ask = [sys.executable, "-c", choose]
    with subprocess.Popen([*ask[:2], f"{choose}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        first = owner.stdout.readline()
        second = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        owner.kill()
    third = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert second != first == third


def test_too_many_ports_is_an_error_of_ours():
    """More ports than can be found is an error with a remedy."""
    with pytest.raises(UnavailableError, match="free ports"):
        free_ports(ATTEMPTS + 1)


def test_ports_lie_below_those_of_outgoing_connections():
    """The connection of a client never takes a port between the check and its use, nor during a restart."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert lowest >= PORTS.stop
