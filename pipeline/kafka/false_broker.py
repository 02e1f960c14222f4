"""Finds *false* addresses, at which another program than a Kafka broker answers, and keeps clients away from them.

Some answers of other programs make librdkafka end the whole process, so a false address beside good ones is skipped. This module
checks only the first answers: for crashes by later ones see ``pipeline.cli.crash_guard``.
"""

from __future__ import annotations

import enum
import queue
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO, Final

from pipeline import crash_note
from pipeline.kafka.access_errors import named_by, not_a_broker
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings

log = get_logger("bootstrap")

#: Longest wait for all addresses (seconds). An address that has not answered is not judged.
_SECONDS: Final = 1.5
#: After the first broker has answered, how much longer the others may take (seconds).
_OTHERS_SECONDS: Final = 0.2
_CORRELATION: Final = 0x706F7274
_API_VERSIONS: Final = 18
_METADATA: Final = 3
#: Every release of Kafka answers this version. A request with an empty list of topics asks for the brokers alone.
_METADATA_VERSION: Final = 1
_NO_TOPICS: Final = b"\0\0\0\0"
_LONGEST_ANSWER: Final = 1 << 24

#: Addresses that were judged in this process, and those that are false, until they are judged again.
_judged: set[str] = set()
_false: set[str] = set()


class _Verdict(enum.Enum):
    BROKER = enum.auto()
    FALSE = enum.auto()
    #: It did not answer in time, ended the connection, or speaks another protocol: the client finds out what it is.
    UNKNOWN = enum.auto()


def refuse_false_brokers(bootstrap: Sequence[str], security: KafkaSettings, *, option: str = "") -> None:
    """Find the false addresses by asking each which requests it takes and which brokers it knows. Not with TLS (certificates).

    When a broker answers at another address, the false ones are only logged and skipped from then on (``without_false``).

    Args:
        bootstrap: the addresses.
        security: the settings with the protocol of the brokers.
        option: the command-line option that gave the addresses; empty: they come from a setting.

    Raises:
        UnavailableError: an address is false, and no broker answers at another address.
    """
    crash_note.named_by(named_by(option))
    _judged.update(bootstrap)
    if security.security_protocol not in ("PLAINTEXT", "SASL_PLAINTEXT"):
        return
    verdicts = _verdicts(bootstrap, asks_for_brokers=security.security_protocol == "PLAINTEXT")
    _false.difference_update(bootstrap)
    _false.update(address for address, verdict in verdicts.items() if verdict is _Verdict.FALSE)
    found = [address for address in bootstrap if address in _false]
    if found and _Verdict.BROKER not in verdicts.values():
        raise not_a_broker(found, option=option)
    for address in found:
        warn_of(address, option=option)


def warn_of(address: str, *, option: str = "") -> None:
    """Log that an address is skipped because another program answers at it."""
    error = not_a_broker([address], option=option)
    log.warning("address_skipped", address=address, reason=error.problem, remedy=error.remedy)


def without_false(bootstrap: Sequence[str], security: KafkaSettings) -> list[str]:
    """The addresses without the false ones. Addresses that this process has not checked yet are checked now.

    Raises:
        UnavailableError: an address is false, and no broker answers at another address.
    """
    if not _judged.issuperset(bootstrap):
        refuse_false_brokers(bootstrap, security)
    return [address for address in bootstrap if address not in _false] or list(bootstrap)


def answers_falsely(address: str, security: KafkaSettings) -> bool:
    """Whether a complete answer comes from ``address`` that cannot be a broker's. Waits for the answer."""
    if security.security_protocol not in ("PLAINTEXT", "SASL_PLAINTEXT"):
        return False
    return _verdict(address, asks_for_brokers=security.security_protocol == "PLAINTEXT") is _Verdict.FALSE


def _verdicts(bootstrap: Sequence[str], *, asks_for_brokers: bool) -> dict[str, _Verdict]:
    """Address -> verdict, for those found in time. Waits only a little longer after the first broker has answered."""
    answers: queue.SimpleQueue[tuple[str, _Verdict]] = queue.SimpleQueue()
    deadline = time.monotonic() + _SECONDS

    def ask(address: str) -> None:
        answers.put((address, _verdict(address, asks_for_brokers=asks_for_brokers)))

    for address in bootstrap:
        threading.Thread(target=ask, args=(address,), name="broker-asked", daemon=True).start()
    found: dict[str, _Verdict] = {}
    for _ in bootstrap:
        try:
            address, verdict = answers.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            break
        found[address] = verdict
        if verdict is _Verdict.BROKER:
            deadline = min(deadline, time.monotonic() + _OTHERS_SECONDS)
    return found


def _verdict(address: str, *, asks_for_brokers: bool) -> _Verdict:
    """Judge an address by its answers to two requests. An answer that is cut off or has another form gives UNKNOWN."""
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection,
            connection.makefile("rb") as file,
        ):
            ranges = _versions(_asked(connection, file, _API_VERSIONS, version=0))
            lowest, highest = ranges.get(_METADATA, (0, -1))
            if not asks_for_brokers:  # behind a login nothing else is answered before it
                return _Verdict.BROKER
            if not lowest <= _METADATA_VERSION <= highest:
                return _Verdict.UNKNOWN
            brokers = _brokers(_asked(connection, file, _METADATA, version=_METADATA_VERSION, behind=_NO_TOPICS))
            return _Verdict.BROKER if brokers else _Verdict.UNKNOWN  # a broker that starts knows none yet
    except _FalseAnswerError:
        return _Verdict.FALSE
    except (OSError, UnicodeError, OverflowError, ValueError, struct.error):
        return _Verdict.UNKNOWN


class _FalseAnswerError(Exception):
    """A complete answer that no broker gives."""


def _asked(connection: socket.socket, file: BinaryIO, key: int, *, version: int, behind: bytes = b"") -> bytes:
    """Send a request and return the body of its answer.

    Raises:
        OSError, ValueError, struct.error: the answer is cut off, or is not the answer to this request.
    """
    head = struct.pack(">hhih", key, version, _CORRELATION, -1)  # the last is a client id that is null
    connection.sendall(struct.pack(">i", len(head + behind)) + head + behind)
    length, correlation = struct.unpack(">ii", file.read(8))
    if correlation != _CORRELATION or not 4 <= length <= _LONGEST_ANSWER:
        raise ValueError
    body = file.read(length - 4)
    if len(body) < length - 4:
        raise ValueError
    return body


def _versions(body: bytes) -> dict[int, tuple[int, int]]:
    """Request -> the lowest and highest version that the broker takes; empty when it answers with an error.

    Raises:
        _FalseAnswerError: no broker gives this answer.
    """
    error, count = struct.unpack(">hi", body[:6]) if len(body) >= 6 else (0, 0)
    if error:
        return {}
    if count < 1 or len(body) != 6 + 6 * count:
        raise _FalseAnswerError
    return {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", body[6:])}


def _brokers(body: bytes) -> int:
    """How many brokers an answer about metadata without topics names.

    Raises:
        _FalseAnswerError: no broker gives this answer.
    """
    reader = _Reader(body)
    try:
        count = reader.integer()
        for _ in range(count):
            reader.integer()
            reader.text(nullable=False)
            reader.integer()
            reader.text(nullable=True)  # the rack
        reader.integer()  # the controller
        topics = reader.integer()
    except (ValueError, struct.error):
        raise _FalseAnswerError from None
    if count < 0 or topics not in (0, -1) or not reader.is_at_the_end:
        raise _FalseAnswerError
    return count


class _Reader:
    """Reads the values of an answer one by one.

    Raises:
        ValueError, struct.error: the next bytes are not such a value.
    """

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    @property
    def is_at_the_end(self) -> bool:
        """Whether all bytes of the answer are read."""
        return self._at == len(self._body)

    def integer(self) -> int:
        """Read a number of four bytes."""
        (number,) = struct.unpack_from(">i", self._body, self._at)
        self._at += 4
        return int(number)

    def text(self, *, nullable: bool) -> None:
        """Skip a text and its length before it. ``nullable``: the text may be null."""
        (length,) = struct.unpack_from(">h", self._body, self._at)
        self._at += 2 + max(length, 0)
        if length < (-1 if nullable else 0) or self._at > len(self._body):
            raise ValueError
