"""Finds out at which of the bootstrap addresses a broker answers."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.protocol.metadata import MetadataRequest

from domain.errors import UnavailableError
from pipeline.kafka.access_errors import not_a_broker
from pipeline.kafka.daemon_thread import in_daemon_thread
from pipeline.kafka.false_broker import answers_falsely, warn_of
from pipeline.kafka.preflight_messages import connection_error
from pipeline.kafka.security import aiokafka_options
from pipeline.settings import KafkaSettings

#: After the first address has answered, how much longer the others may take (seconds).
_OTHERS_SECONDS: Final = 1.0
_START: Final = "Start it (`portalpulse up` starts a local one) or correct PORTALPULSE_KAFKA__BOOTSTRAP."
#: What aiokafka raises when it takes an answer apart that is not Kafka's.
_UNREADABLE: Final = (TypeError, ValueError, LookupError, AttributeError, OverflowError, struct.error)


async def reachable_addresses(settings: KafkaSettings, *, client_id: str, answer_seconds: float) -> tuple[str, ...]:
    """The bootstrap addresses at which a broker answers. All are asked at once, so that a dead one does not delay the others.

    When none answers, the error says why. aiokafka's own clients would only log the reason.

    Args:
        settings: addresses, encryption and login.
        client_id: the name of the client in the log of the brokers.
        answer_seconds: longest wait for an answer.

    Raises:
        UnavailableError: no broker answers; the error has the first cause that is known.
    """
    asked = {asyncio.create_task(_ask(address, settings, client_id, answer_seconds)): address for address in settings.bootstrap}
    waiting = set(asked)
    try:
        while waiting and not any(_has_answered(task) for task in asked):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=_OTHERS_SECONDS)
        if reachable := tuple(address for task, address in asked.items() if _has_answered(task)):
            _tell_of_false(asked)
            return reachable
        errors = [(address, task.exception()) for task, address in asked.items()]
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    for address, error in errors:
        if isinstance(error, (KafkaError, OSError, TimeoutError)):
            if isinstance(error, TimeoutError | KafkaTimeoutError) and not await _accepts_connections(address):
                continue
            if cause := connection_error(error, address, settings):
                raise cause from error
        elif error is not None:
            raise _unreadable(error, address)
    raise UnavailableError(f"No Kafka broker answers at {', '.join(settings.bootstrap)}.", remedy=_START)


def _tell_of_false(asked: Mapping[asyncio.Task[None], str]) -> None:
    """Log the addresses that are skipped because another program answers at them."""
    for task, address in asked.items():
        error = task.exception() if task.done() else None
        if isinstance(error, (UnavailableError, *_UNREADABLE)):
            warn_of(address)


def _unreadable(error: BaseException, address: str) -> BaseException:
    """The error to raise: that of another program if the client could not decode an answer, else ``error`` itself."""
    return not_a_broker([address]) if isinstance(error, _UNREADABLE) else error


def _has_answered(task: asyncio.Future[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _ask(address: str, settings: KafkaSettings, client_id: str, answer_seconds: float) -> None:
    """Return when the broker at ``address`` has answered a request that requires the login. Other errors are raised as they are.

    Raises:
        UnavailableError: another program answers.
    """
    try:
        if await _knows_brokers(address, settings, client_id, answer_seconds):
            return
    except Exception:
        if await in_daemon_thread(lambda: answers_falsely(address, settings)):
            raise not_a_broker([address]) from None
        raise
    if await in_daemon_thread(lambda: answers_falsely(address, settings)):  # the client takes zeros for an answer without brokers
        raise not_a_broker([address])


async def _knows_brokers(address: str, settings: KafkaSettings, client_id: str, answer_seconds: float) -> bool:
    """Whether the broker at ``address`` names at least one broker."""
    connection = await create_conn(
        *_host_and_port(address),
        client_id=client_id,
        request_timeout_ms=int(answer_seconds * 1000),
        **aiokafka_options(settings),
    )
    try:
        return bool((await connection.send(MetadataRequest([]))).brokers)
    finally:
        connection.close()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _accepts_connections(address: str) -> bool:
    """Whether a process accepts connections at ``address``. Otherwise the address drops packets, and no broker hangs there."""
    try:
        async with asyncio.timeout(_OTHERS_SECONDS):
            _, writer = await asyncio.open_connection(*_host_and_port(address))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
