"""Moves a recording into the present: every event is dated with the time at which it is due to be sent.

The same id with another time would be a conflicting repeat, so a rebased event is a new event: its id depends on the old id, the
number of the loop and the start of the replay. A resumed replay continues with the times of its first start, however long it
paused, so that what it sends again is equal to the byte.
"""

from __future__ import annotations

from producers.messages import Message
from producers.replay.transforms.loops import id_label
from producers.replay.transforms.rewriting import local_text, rewritten


def rebased(message: Message, loop: int, *, start: int, after: float) -> Message:
    """The message dated ``start`` (epoch milliseconds) plus ``after`` seconds; its new id follows from old id, loop and start."""
    if message.key is None or message.value is None:
        return message
    at = start + int(after * 1000)
    label = id_label(loop, rebased=local_text(start))
    return message._replace(value=rewritten(message.value, label=label, at=at), occurred_at=at)
