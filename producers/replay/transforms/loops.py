"""Plays a recording several times, so that each time counts.

The first loop is the recording as it is. In loop 2 and later every event gets an id that follows from its old id and the number
of the loop alone: the loop adds its events to the tallies, and playing the same loops again changes nothing.
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


def looped(recording: Callable[[], Iterable[Message]], *, loops: int) -> Iterator[RepeatedMessage]:
    """The recording ``loops`` times (0: without end); it is opened anew for every loop. An empty one ends at once."""
    for loop in itertools.count(1) if loops == 0 else range(1, loops + 1):
        empty = True
        for message in recording():
            empty = False
            yield RepeatedMessage(message, loop)
        if empty:
            return


def label_of(loop: int, *, rebased: str = "") -> str | None:
    """What the ids of a loop are derived from; None: the ids stay. A rebased event is another event, in every loop."""
    if loop == 1 and not rebased:
        return None
    return f"loop {loop} {rebased}".rstrip()


def renamed(message: Message, loop: int) -> Message:
    """The message in its original time, with the id of its loop."""
    label = label_of(loop)
    if label is None or message.key is None or message.value is None:
        return message
    return message._replace(value=rewritten(message.value, label=label))
