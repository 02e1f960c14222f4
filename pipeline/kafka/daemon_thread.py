"""Runs a blocking call in a daemon thread: unlike the threads of an executor, it does not delay the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(action: Callable[[], T]) -> T:
    """Run ``action`` in a daemon thread; return its result or raise its error.

    When the caller is cancelled, the thread goes on and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def resolve(value: T | None, error: BaseException | None) -> None:
        if result.cancelled():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type] # a T whenever there is no error

    def run() -> None:
        try:
            value_or_error: tuple[T | None, BaseException | None] = (action(), None)
        except Exception as error:  # noqa: BLE001 - raised where the result is awaited
            value_or_error = (None, error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(resolve, *value_or_error)

    threading.Thread(target=run, name="kafka-call", daemon=True).start()
    return await result
