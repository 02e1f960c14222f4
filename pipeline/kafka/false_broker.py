"""Finds addresses at which something answers that no broker would say: librdkafka ends the whole process over such answers."""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final

from domain.errors import UnavailableError
from pipeline.settings import KafkaSettings

#: Longest wait for all addresses (seconds). An address that has not answered is not judged.
_SECONDS: Final = 1.5
_CORRELATION: Final = 0x706F7274
#: ApiVersions of version 0 without a client id: key, version, correlation id, and a client id that is null.
_REQUEST: Final = struct.pack(">ihhih", 10, 18, 0, _CORRELATION, -1)
_LONGEST_ANSWER: Final = 1 << 16


def refuse_false_brokers(bootstrap: Sequence[str], security: KafkaSettings) -> None:
    """Ask every address which requests it takes. Behind TLS the certificate says who answers, so nothing is asked.

    Raises:
        UnavailableError: what answers at an address is not a Kafka broker.
    """
    if security.security_protocol not in ("PLAINTEXT", "SASL_PLAINTEXT"):
        return
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    deadline = time.monotonic() + _SECONDS

    def ask(address: str) -> None:
        answers.put(address if _answers_falsely(address) else None)

    for address in bootstrap:
        threading.Thread(target=ask, args=(address,), name="broker-asked", daemon=True).start()
    for _ in bootstrap:
        try:
            false = answers.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            return
        if false is not None:
            raise UnavailableError(
                f"What answers at {false} is not a Kafka broker: its answer cannot be read.",
                remedy="Correct PORTALPULSE_KAFKA__BOOTSTRAP; see whether a proxy is in between.",
            )


def _answers_falsely(address: str) -> bool:
    """Whether a complete answer to our request came that cannot be one. What is cut off or of another form is not judged here."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection:
            connection.sendall(_REQUEST)
            with connection.makefile("rb") as file:
                length, correlation = struct.unpack(">ii", file.read(8))
                if correlation != _CORRELATION or not 4 <= length <= _LONGEST_ANSWER:
                    return False
                body = file.read(length - 4)
    except (OSError, UnicodeError, OverflowError, ValueError, struct.error):
        return False
    if len(body) < length - 4:
        return False
    error, count = struct.unpack(">hi", body[:6]) if len(body) >= 6 else (0, 0)
    return bool(error == 0 and (count < 1 or len(body) != 6 + 6 * count))
