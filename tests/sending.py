"""Sends a few messages to a topic for tests, with the sender that the commands use."""

from __future__ import annotations

from collections.abc import Iterable

from producers.messages import Kind, Message
from producers.sending.message_stream import MessageStream
from producers.sending.send_loop import SendResult
from producers.sending.worker_processes import Broker, run_task


def send(
    bootstrap: str, topic: str, pairs: Iterable[tuple[bytes | None, bytes | None]], *, rate: float | None = None
) -> SendResult:
    """Send (key, value) pairs and return when each is acknowledged or has failed; with a rate, each leaves when it is due."""
    messages = (Message(key, value, 0, Kind.RAW) for key, value in pairs)
    stream = MessageStream("test", messages, rate=None if rate is None else lambda: rate)
    return run_task(stream, broker=Broker((bootstrap,), topic), processes=1, on_progress=lambda _: None)


class Recorded:
    """A source of replays: messages kept in memory."""

    label = "recorded"

    def __init__(self, messages):
        self.messages = messages

    def __call__(self):
        return iter(self.messages)

    def describe(self, index):
        """The place of a message, for sentences."""
        return f"message {index}"
