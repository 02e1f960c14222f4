"""Repeats a recording so that each loop counts as new events.

The first loop is the recording unchanged. From loop 2 on, every event gets an id that depends only on its old id and the number
of the loop: the loop adds its events to the tallies, and repeating the same loops changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from producers.messages import Message
from producers.replay.transforms.rewriting import rewritten


class RepeatedMessage(NamedTuple):
    """A message and the number of its loop, from 1."""

    message: Message
    loop: int


def repeated(recording: Callable[[], Iterable[Message]], *, loops: int) -> Iterator[RepeatedMessage]:
    """The recording ``loops`` times (0: without end); every loop opens it again. An empty recording ends at once."""
    for loop in itertools.count(1) if loops == 0 else range(1, loops + 1):
        empty = True
        for message in recording():
            empty = False
            yield RepeatedMessage(message, loop)
        if empty:
            return


def id_label(loop: int, *, rebased: str = "") -> str | None:
    """The label that derives the ids of a loop; None: the ids stay. A rebased event is a new event in every loop."""
    if loop == 1 and not rebased:
        return None
    return f"loop {loop} {rebased}".rstrip()


def with_new_event_id(message: Message, loop: int) -> Message:
    """The message in its original time, with the id of its loop."""
    label = id_label(loop)
    if label is None or message.key is None or message.value is None:
        return message
    return message._replace(value=rewritten(message.value, label=label))
