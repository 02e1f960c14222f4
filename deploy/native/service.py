"""The interface of every service of the local stack: start, wait until it is ready, stop, kill, restart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from deploy.native.ports import LOOPBACK
from deploy.native.processes import ChildProcess, await_http


class Service(ABC):
    """A service of one program; its address and folder stay the same when it is restarted."""

    #: Seconds that it may take until it answers.
    start_seconds: ClassVar[float] = 60.0
    #: Seconds that it gets for a clean stop.
    stop_seconds: ClassVar[float] = 8.0

    process: ChildProcess

    @abstractmethod
    def launch(self) -> None:
        """Start the service; returns before it answers.

        Raises:
            UnavailableError: the service cannot be started.
        """

    @abstractmethod
    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until the service answers, at most ``timeout`` seconds (None: ``start_seconds``).

        Raises:
            UnavailableError: the service ended or did not answer in time; the message has the end of its log.
        """

    def start(self, *, timeout: float | None = None) -> None:
        """Start the service and wait until it is ready: ``launch`` and ``await_ready``."""
        self.launch()
        self.await_ready(timeout=timeout)

    def stop(self) -> None:
        """Stop the service cleanly; does nothing when it is not running."""
        self.process.stop(grace=self.stop_seconds)

    def kill(self) -> None:
        """Kill the service as kill -9 does."""
        self.process.kill()

    def restart(self, *, while_down: Callable[[], None] | None = None, timeout: float | None = None) -> None:
        """Stop the service, also after ``kill``, and start it again; ``while_down`` is called in between."""
        self.stop()
        if while_down is not None:
            while_down()
        self.start(timeout=timeout)


class HttpService(Service):
    """A service that answers over HTTP on a loopback port.

    Attributes:
        port: the port on which it listens.
        ready_path: the path that answers with success once it is ready.
    """

    port: int
    ready_path: ClassVar[str] = "/-/ready"

    @property
    def address(self) -> str:
        """The address of the service as host:port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The address of its pages and API."""
        return f"http://{self.address}"

    def launch(self) -> None:
        """Start the service; returns before it answers."""
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until the service reports that it is ready.

        Raises:
            UnavailableError: it ended (for example because of a wrong configuration) or did not answer in time.
        """
        await_http(f"{self.url}{self.ready_path}", timeout=timeout or self.start_seconds, child=self.process)


class Broker(Service):
    """A service that speaks Kafka's protocol."""

    @property
    @abstractmethod
    def bootstrap(self) -> str:
        """The address of the broker as host:port."""

    @abstractmethod
    def create_topic(self, name: str, *, partitions: int = 4) -> None:
        """Create a topic unless it exists, and wait until messages can be sent to it.

        Raises:
            ConfigurationError: the topic exists, or can only be created, with another number of partitions.
            UnavailableError: the broker refuses or does not answer in time.
        """
