"""Finds addresses at which something answers that no broker would say, and keeps clients away from them.

librdkafka ends the whole process over some of these answers, and a client asks the addresses one after the other: a false one
beside good ones is skipped. What the brokers answer later is not checked here: see ``pipeline.cli.crash_guard``.
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
    """Ask every address which requests it takes and which brokers it knows. Behind TLS the certificate says who answers.

    Of several addresses the false ones are skipped from then on, see ``without_false``.

    Args:
        bootstrap: the addresses.
        security: the protocol that is spoken with them.
        option: of the command line, that names the addresses; empty: they come from a setting.

    Raises:
        UnavailableError: what answers is not a Kafka broker, and no broker answers at another address.
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
    """Log that an address is skipped, because another program answers at it."""
    error = not_a_broker([address], option=option)
    log.warning("address_skipped", address=address, reason=error.problem, remedy=error.remedy)


def without_false(bootstrap: Sequence[str], security: KafkaSettings) -> list[str]:
    """The addresses that a client may ask, of which those that were never judged in this process are judged now.

    Raises:
        UnavailableError: what answers is not a Kafka broker, and no broker answers at another address.
    """
    if not _judged.issuperset(bootstrap):
        refuse_false_brokers(bootstrap, security)
    return [address for address in bootstrap if address not in _false] or list(bootstrap)


def answers_falsely(address: str, security: KafkaSettings) -> bool:
    """Whether a complete answer comes that cannot be one of a broker. Waits for it."""
    if security.security_protocol not in ("PLAINTEXT", "SASL_PLAINTEXT"):
        return False
    return _verdict(address, asks_for_brokers=security.security_protocol == "PLAINTEXT") is _Verdict.FALSE


def _verdicts(bootstrap: Sequence[str], *, asks_for_brokers: bool) -> dict[str, _Verdict]:
    """The verdicts that were found in time; waits no longer than the answer of one broker needs, and a little."""
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
    """What a broker's two first answers say. What is cut off or of another form is not judged here."""
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
    """A whole answer that no broker gives."""


def _asked(connection: socket.socket, file: BinaryIO, key: int, *, version: int, behind: bytes = b"") -> bytes:
    """The body of the answer to a request.

    Raises:
        OSError, ValueError, struct.error: it is cut, or not the answer to this request.
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
    """The lowest and highest version of each request that is taken; empty when the broker answers with an error.

    Raises:
        _FalseAnswerError: no broker says that.
    """
    error, count = struct.unpack(">hi", body[:6]) if len(body) >= 6 else (0, 0)
    if error:
        return {}
    if count < 1 or len(body) != 6 + 6 * count:
        raise _FalseAnswerError
    return {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", body[6:])}


def _brokers(body: bytes) -> int:
    """How many brokers an answer without topics names.

    Raises:
        _FalseAnswerError: no broker says that.
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
        ValueError, struct.error: the next value is none.
    """

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    @property
    def is_at_the_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._body)

    def integer(self) -> int:
        """A number of four bytes."""
        (number,) = struct.unpack_from(">i", self._body, self._at)
        self._at += 4
        return int(number)

    def text(self, *, nullable: bool) -> None:
        """A text behind its length."""
        (length,) = struct.unpack_from(">h", self._body, self._at)
        self._at += 2 + max(length, 0)
        if length < (-1 if nullable else 0) or self._at > len(self._body):
            raise ValueError
