"""A load as a task: sends events of a pool at the rate of a profile, packed every 10 ms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from domain.clock import Clock
from producers.load.pool import Pool, rows_and_rounds
from producers.load.profiles import Profile
from producers.sending.partitions import partitions_of
from producers.sending.record_batches import Batch, Packer
from producers.sending.send_loop import CHUNK, TICK, Run

#: Late events are sent at once up to this many seconds of them; the rest is skipped, which the measured rate shows.
_MAX_CATCH_UP: Final = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """New events of ``pool`` at the rate of ``profile``, dated by ``clock`` when they are packed.

    ``whole_rounds``: at the end the rest of the last round is sent at once, so that every dossier is complete.
    """

    profile: Profile
    pool: Pool
    clock: Clock
    whole_rounds: bool = False

    @property
    def label(self) -> str:
        """The name of the load in the report."""
        return f"{self.profile.name} load"

    @property
    def target_rate(self) -> float | None:
        """The mean rate of the profile in messages a second."""
        return self.profile.count(self.profile.seconds) / self.profile.seconds

    def target_rate_at(self, elapsed: float) -> float | None:
        """The rate of the profile ``elapsed`` seconds after the start, in messages a second."""
        return self.profile.rate(elapsed)

    def describe(self, index: int) -> str:
        """Names an event by its index in a sentence."""
        return f"{self.label}, event {index + 1:,}"

    def batches(self, run: Run) -> Iterator[Batch]:
        """The batches of this process: models of its partitions, at their share of the rate."""
        # All events of a dossier keep the partition of their model in every round.
        keys = [b"%b%b%d" % (model.code, model.date, model.dossier) for model in self.pool.models]
        partition_of_model = partitions_of(keys, run.partitions)
        if run.places is not None and run.places.by_portal:
            first_round = [(row, 0) for row in range(len(self.pool.models))]
            partition_of_model = run.places.of(list(self.pool.new_events(first_round, at=self._now(), number=0)))
        rows = [row for row, partition in enumerate(partition_of_model) if run.owns(partition)]
        part = len(rows) / len(partition_of_model)
        turn = rows_and_rounds(rows)
        packer = Packer(run.partitions, batch_bytes=run.batch_bytes)
        number = first = run.share[0] << 40  # each process numbers its events in a range of its own
        skipped = 0.0
        run.started = run.monotonic()
        while rows:
            elapsed = min(run.elapsed, self.profile.seconds)
            wanted = self.profile.count(elapsed) * part - skipped
            max_owed = self.profile.rate(min(elapsed, self.profile.seconds - TICK)) * part * _MAX_CATCH_UP + 1
            owed = wanted - (number - first)
            if owed > max_owed:
                skipped += owed - max_owed
                owed = max_owed
            left = round(owed) if elapsed >= self.profile.seconds else int(owed)
            if self.whole_rounds and elapsed >= self.profile.seconds:
                left += -(number - first + left) % len(rows)
            while left > 0:
                count = min(left, CHUNK)
                chosen = list(islice(turn, count))
                messages = list(self.pool.new_events(chosen, at=self._now(), number=first))
                number += count
                left -= count
                yield from packer.add(
                    messages,
                    indexes=range(number - first - count, number - first),
                    distinct=(True,) * count,
                    partitions=[partition_of_model[row] for row, _ in chosen],
                )
            yield from packer.flush()
            run.next_index = number - first
            if elapsed >= self.profile.seconds or run.pause(TICK):
                return

    def _now(self) -> int:
        return int(self.clock.now().timestamp() * 1000)
