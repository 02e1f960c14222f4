"""Writes a stream of messages to a file as NDJSON, one line for each. Keys are omitted: they repeat the dossier code."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import BinaryIO

from domain.errors import UnavailableError
from producers.messages import Kind
from producers.sending.message_stream import MessageStream
from producers.sending.send_loop import ProgressReport, Run, SendResult


def write_lines(stream: MessageStream, file: BinaryIO, *, name: str, on_progress: Callable[[ProgressReport], None]) -> SendResult:
    """Write the stream to an open file at the stream's rate. Ctrl-C ends the writing; the result tells what was written.

    Raises:
        UnavailableError: the file cannot be written (disk full, closed pipe).
    """
    run = Run(partitions=1, share=(0, 1), pause=threading.Event().wait, started=time.monotonic())
    kinds: Counter[Kind] = Counter()
    interrupted = False
    try:
        for chunk in stream.chunks(run):
            for message in chunk:
                file.write((message.value or b"") + b"\n")
                kinds[message.kind] += 1
            on_progress(ProgressReport(kinds.total(), kinds.total(), kinds.total()))
    except KeyboardInterrupt:
        interrupted = True
    except OSError as error:
        raise _unusable(name, error) from error
    try:
        file.flush()
    except OSError as error:
        raise _unusable(name, error) from error
    written = kinds.total()
    return SendResult(
        sent=written,
        acknowledged=written,
        repeated=kinds[Kind.REPEAT],
        malformed=kinds[Kind.MALFORMED],
        interrupted=interrupted,
        position=written,
        started=run.started,
        ended=time.monotonic(),
    )


def _unusable(name: str, error: OSError) -> UnavailableError:
    closed = isinstance(error, BrokenPipeError)
    return UnavailableError(
        f"{name} takes no more lines: {error.strerror}.",
        remedy="Its reader has gone." if closed else "Free some space or write to another file.",
    )
