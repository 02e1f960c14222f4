"""Moves a recording into the present: every event is dated with the moment at which it is due to be sent.

The same id with another time would be a conflicting repeat, so a rebased event is another event: its id follows from the old
id, the number of the loop and the start of the replay. A resumed replay goes on in the time of its first start, however long it
paused, so that what it sends once more is the same to the byte.
"""

from __future__ import annotations

from producers.messages import Message
from producers.replay.transforms.loops import label_of
from producers.replay.transforms.rewriting import local_text, rewritten


def rebased(message: Message, loop: int, *, start: int, after: float) -> Message:
    """The message dated ``start`` (epoch milliseconds) plus ``after`` seconds; its id follows from the old one and the start."""
    if message.key is None or message.value is None:
        return message
    at = start + int(after * 1000)
    label = label_of(loop, rebased=local_text(start))
    return message._replace(value=rewritten(message.value, label=label, at=at), occurred_at=at)
