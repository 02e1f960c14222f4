"""When too much is set aside: after a bad deploy a worker must stop, not empty the topic into the dead letters.

Two limits over the messages in the order in which they are judged: a run of refusals without a single good message, and the
share of refusals among the latest messages. Pure counting, without a clock; one thread uses it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class DeadLetterLimit:
    """Counts what was judged and says when to stop. A limit of 0 never stops.

    Args:
        max_consecutive: so many refusals in a row stop; one good message ends a row.
        max_ratio: a larger share of refusals than this stops, once ``window`` messages were judged.
        window: how many of the latest messages the share is taken over (a little more: whole batches are counted).
        run: refusals in a row that were set aside before this count began.
    """

    max_consecutive: int
    max_ratio: float
    window: int
    run: int = 0
    _batches: deque[tuple[int, int]] = field(default_factory=deque)  # messages and refusals, oldest first
    _messages: int = 0
    _refused: int = 0

    def judged(self, messages: int, refused: Sequence[int]) -> str:
        """Count a batch; returns why the worker must stop, or nothing.

        Args:
            messages: messages in the batch.
            refused: positions of the refused ones in it, ascending.
        """
        if not messages:
            return ""
        longest = self._longest_run(messages, refused)
        self._batches.append((messages, len(refused)))
        self._messages += messages
        self._refused += len(refused)
        while self._messages - self._batches[0][0] >= self.window > 0:
            messages, gone = self._batches.popleft()
            self._messages -= messages
            self._refused -= gone
        if 0 < self.max_consecutive <= longest:
            return f"{longest} messages in a row were refused, the limit is {self.max_consecutive}"
        if 0 < self.window <= self._messages and 0 < self.max_ratio < self._refused / self._messages:
            return (
                f"{self._refused} of the latest {self._messages} messages were refused, the limit is {self.max_ratio * 100:g} %"
            )
        return ""

    def _longest_run(self, messages: int, refused: Sequence[int]) -> int:
        """The longest run seen in this batch, counting on from the last one; keeps what may go on in the next."""
        if len(refused) == messages:
            self.run += messages
            return self.run
        longest, run, before = 0, self.run, -1
        for position in refused:
            run = run + 1 if position == before + 1 else 1
            before = position
            longest = max(longest, run)
        self.run = run if before == messages - 1 else 0
        return longest
