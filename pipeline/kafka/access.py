"""Checks that the brokers can be used, or says in one sentence why not: librdkafka itself only reports that no answer came.

Every command that uses Kafka checks here first. Brokers also advertise the addresses at which clients have to reach them. A
client that cannot reach an advertised address waits until its timeout, so this module tries to connect to these addresses.

A refused password, a certificate that is not accepted or a wrong protocol reaches a librdkafka client only through its
``error_cb``, while the waiting call ends with "broker transport failure". ``Reports`` keeps these errors.
"""

from __future__ import annotations

import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, BrokerMetadata, ClusterMetadata, TopicMetadata

from domain.errors import UnavailableError
from pipeline.kafka import access_errors
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.false_broker import refuse_false_brokers
from pipeline.kafka.security import librdkafka_options, uses_sasl
from pipeline.settings import KafkaSettings

#: Longest wait for the first answer of a broker (seconds).
ANSWER_SECONDS: Final = 10.0
#: First interval between checks of what was reported; it doubles with each check (seconds).
_FIRST_CHECK: Final = 0.5
#: Longest wait for one connection to a broker that was named (seconds).
_CONNECT_SECONDS: Final = 5.0
#: In librdkafka's text when a port without SASL is asked for a login.
_NO_LOGIN: Final = "not valid in current SASL state"
#: In librdkafka's text about a broker that was named by another: one of the bootstrap addresses has no number.
_NAMED_BROKER: Final = re.compile(r"(?:\w+://)?(?P<address>[^/\s]+:\d+)/\d+: (?P<problem>.*?)(?: \(after \d+ms.*)?$", re.DOTALL)
#: Errors that do not pass by waiting.
_DECIDED: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001 - public names with an underscore
#: A batch came and cannot be read: librdkafka unpacks none that is larger than an answer may be.
_UNREADABLE: Final = frozenset({KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG})  # noqa: SLF001 - as above
_NO_CONNECTION: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})  # noqa: SLF001
_NOT_AUTHORIZED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


class Reports(list[KafkaError]):
    """The latest errors that a librdkafka client reported. The client must have ``add`` as its ``error_cb``.

    Attributes:
        lines: the latest lines of the client's log, if the client has ``logger()`` as its ``logger``. librdkafka only logs, and
            does not report as an error, that a broker ended the connection.
    """

    _LIMIT: Final = 50

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def add(self, error: KafkaError) -> None:
        """Keep one more error."""
        self.append(error)
        del self[: -self._LIMIT]

    def named_broker(self, bootstrap: Sequence[str]) -> tuple[list[str], str] | None:
        """The address of an advertised broker that cannot be reached, and the problem; None: no error is about such a broker."""
        for report in reversed(self):
            found = _NAMED_BROKER.match(report.str())
            if found is not None and found["address"] not in bootstrap:
                return [found["address"]], f"{found['address']}: {found['problem'].rstrip('.')}"
        return None

    def logger(self) -> logging.Logger:
        """A logger that keeps its lines in ``lines`` and prints nothing."""
        logger = logging.Logger("portalpulse.kafka_access")  # noqa: LOG001 - it belongs to one client and is not registered
        logger.addHandler(_ListHandler(self.lines, self._LIMIT))
        return logger


class _ListHandler(logging.Handler):
    """Keeps the latest messages in a list."""

    def __init__(self, lines: list[str], limit: int) -> None:
        super().__init__()
        self._lines, self._limit = lines, limit

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())
        del self._lines[: -self._limit]


def topics_of(
    bootstrap: Sequence[str],
    security: KafkaSettings,
    *,
    used: str,
    timeout: float = ANSWER_SECONDS,
    option: str = "",
    client: Callable[[dict[str, Any]], Any] = AdminClient,
) -> dict[str, TopicMetadata]:
    """All topics that this user may see, by name, after checking that the brokers that are needed can be reached.

    All topics are requested, because a request for one topic by its name may create it.

    Args:
        bootstrap: broker addresses, host:port.
        security: the settings with protocol, login and certificate authorities.
        used: the topic that will be read or written: the leaders of its partitions have to be reachable.
        timeout: longest wait for an answer, in seconds.
        option: the command-line option that gave the addresses; empty: they come from a setting.
        client: makes an admin client; a test passes its own.

    Raises:
        UnavailableError: no broker answers, a broker refuses access, or an advertised broker cannot be reached.
        ConfigurationError: the file of authorities cannot be read.
    """
    refuse_false_brokers(bootstrap, security, option=option)
    reports = Reports()
    admin = client(
        {
            **librdkafka_options(security, bootstrap),
            "client.id": "portalpulse-access",
            "log_level": 6,
            "logger": reports.logger(),  # librdkafka would print every refused connection
            "error_cb": reports.add,
        }
    )
    deadline, interval = time.monotonic() + timeout, _FIRST_CHECK
    unreached = 0
    named: tuple[list[str], str] | None = None  # brokers that were named and cannot be reached, and why
    while True:
        left = deadline - time.monotonic()
        try:
            found: ClusterMetadata = admin.list_topics(timeout=max(min(interval, left), 0.1))
        except KafkaException as error:
            admin.poll(0)
            if left <= interval or any(report.code() in _DECIDED for report in reports):
                # From the first answer on, the client asks the brokers that were named, so it gets no second answer. An answer
                # that came after its call had ended is seen in what the client reports of these brokers only.
                named = named or reports.named_broker(bootstrap)
                if named is not None:
                    raise access_errors.unreachable(bootstrap, *named) from error
                raise refusal(error.args[0], bootstrap, security, reports=reports, option=option) from error
            interval *= 2
            continue
        needed = _needed(found, used)
        deadline = min(deadline, time.monotonic() + ANSWER_SECONDS)
        problem = _connection_problem(needed, timeout=min(max(deadline - time.monotonic(), _FIRST_CHECK), _CONNECT_SECONDS))
        if problem is None:
            topics: dict[str, TopicMetadata] = found.topics
            return topics
        unreached, named = unreached + 1, (needed, problem)
        # A broker that just ended is named for some seconds, until another one leads. An only one has just answered.
        if time.monotonic() + interval >= deadline or (len(found.brokers) == 1 and unreached > 1):
            raise access_errors.unreachable(bootstrap, needed, problem)
        time.sleep(interval)


def _needed(found: ClusterMetadata, topic: str) -> list[str]:
    """Addresses of the brokers that lead partitions of a topic; if it does not exist, of the controller, which creates topics."""
    known = found.topics.get(topic)
    numbers = {found.controller_id} if known is None else {part.leader for part in known.partitions.values()}
    needed: list[BrokerMetadata] = [broker for number, broker in found.brokers.items() if number in numbers]
    return [f"{broker.host}:{broker.port}" for broker in needed or found.brokers.values()]


def _connection_problem(addresses: Sequence[str], *, timeout: float) -> str | None:
    """Try to connect to all addresses at once; return why one of them cannot be reached, or None.

    The threads are not joined: resolving a name may take longer than ``timeout``.
    """
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def connect(address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
        except (OSError, UnicodeError, OverflowError) as error:
            answers.put(f"{address}: {getattr(error, 'strerror', None) or error or type(error).__name__}")
        else:
            answers.put(None)

    for address in addresses:
        threading.Thread(target=connect, args=(address,), name="broker-reachable", daemon=True).start()
    deadline = time.monotonic() + timeout + _FIRST_CHECK
    for _ in addresses:
        try:
            problem = answers.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            return f"no connection within {timeout:.0f} s"
        if problem is not None:
            return problem
    return None


def refusal(
    error: KafkaError,
    bootstrap: Sequence[str],
    security: KafkaSettings,
    *,
    reports: Sequence[KafkaError] = (),
    what: str = "",
    reading: bool = False,
    option: str = "",
) -> UnavailableError:
    """The error that says why the brokers cannot be used, with a remedy that fits the cause.

    Args:
        error: the error with which a call of the client ended.
        bootstrap: the broker addresses that were asked.
        security: the settings with the protocol and login that were used.
        reports: errors that the client reported meanwhile; they name the cause when ``error`` only says that no answer came.
        what: what the call asked for, for the sentence.
        reading: whether the call read messages.
        option: the command-line option that gave the addresses; empty: they come from a setting.
    """
    address = ", ".join(bootstrap)
    found = _root_cause([*reports, error])
    code, text = found.code(), found.str().rstrip(".")
    if code == KafkaError._AUTHENTICATION and "mechanism" in text and "nsupported" in text:  # noqa: SLF001
        return access_errors.mechanism_refused(address, security)
    if code == KafkaError._AUTHENTICATION:  # noqa: SLF001
        refused = access_errors.no_login_here if _NO_LOGIN in text else access_errors.login_refused
        return refused(address, security)
    if code == KafkaError._SSL and "certificate verify failed" in text:  # noqa: SLF001
        return access_errors.certificate_not_accepted(address)
    lines = getattr(reports, "lines", ())
    if _protocol_mismatch(found) or any(map(_disconnected_in_handshake, lines)) or _wants_a_login(lines, security):
        return access_errors.wrong_protocol(address, security)
    if code in _NOT_AUTHORIZED:
        to, who = f" to {what}" if what else "", f" as user {security.user!r}" if security.user else ""
        problem = f"Kafka at {address} refuses access{to}{who}: {text}."
        remedy = "Grant this user the right: READ on the topic to read it, WRITE to send to it, CREATE to create it."
    elif code > 0 and kafka_errors.is_retryable(found):
        return access_errors.not_ready(bootstrap, text)
    elif code in _UNREADABLE and reading:
        problem = f"A record batch from Kafka at {address} cannot be unpacked by this command: {text}."
        remedy = "Skip the batch: replay before it (--to-offset) and after it (--from-offset), audit without --kafka deep."
    elif found.retriable() or code < 0:
        problem = f"No Kafka broker answers at {address}: {text}."
        if what and code not in _NO_CONNECTION:  # brokers have answered before
            problem = f"A request to Kafka at {address} about {what} failed: {text}."
        remedy = (
            f"Start the local stack with `portalpulse up`, name the broker with {access_errors.named_by(option)}, "
            "or let `portalpulse doctor` look for the cause."
            if _is_local(bootstrap) and security.security_protocol == "PLAINTEXT"
            else f"See whether the broker runs and can be reached from here, or correct its address: "
            f"{access_errors.named_by(option)}."
        )
    else:
        problem, remedy = f"Kafka at {address} refuses: {text}.", "See the broker's log."
    return UnavailableError(problem, remedy=remedy)


def _root_cause(errors: Sequence[KafkaError]) -> KafkaError:
    """The error that says most about the cause: a refusal, else a wrong protocol, else an unknown host, else the last one."""
    for is_cause in (
        lambda error: error.code() in _DECIDED or error.code() in _NOT_AUTHORIZED,
        _protocol_mismatch,
        lambda error: error.code() == KafkaError._RESOLVE,  # noqa: SLF001
    ):
        if found := next((error for error in reversed(errors) if is_cause(error)), None):
            return found
    return errors[-1]


def _protocol_mismatch(error: KafkaError) -> bool:
    """Whether client and broker use different protocols: TLS and plain text, or with and without a login (librdkafka's guess)."""
    return error.code() == KafkaError._SSL or "security.protocol" in error.str()  # noqa: SLF001


def _disconnected_in_handshake(line: str) -> bool:
    """Whether a line of the client's log says that a broker closed a connection before the handshake was over."""
    return "isconnected" in line and any(state in line for state in ("APIVERSION", "AUTH", "SSL_HANDSHAKE"))


def _wants_a_login(lines: Sequence[str], security: KafkaSettings) -> bool:
    """Whether the broker closed every connection just after it was made: with TLS it does so when a login is missing."""
    lost = [line for line in lines if "FAIL" in line]
    return not uses_sasl(security) and len(lost) > 1 and all("isconnected" in line and "state UP" in line for line in lost)


def _is_local(bootstrap: Sequence[str]) -> bool:
    hosts = [address.rpartition(":")[0].strip("[]") for address in bootstrap]
    return all(host in {"localhost", "::1"} or host.startswith("127.") for host in hosts)
