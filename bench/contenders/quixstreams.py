"""quixstreams as its guide shows it: a JSON topic, a filter, and a custom sink on ``BatchingSink``.

The sink is flushed with every checkpoint, then the offsets are committed; a checkpoint is 100,000 messages or a second.
Run as a program: ``python -m bench.contenders.quixstreams`` with BENCH_* in the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from bench.contenders.tables import Writer, valid

_ROWS = 50_000


class ClickHouseSink(BatchingSink):
    """Writes the rows of one partition."""

    def setup(self) -> None:
        """Connect."""
        self._writer = Writer()

    def write(self, batch: SinkBatch) -> None:
        """Insert; an error aborts the checkpoint, and the messages are redelivered."""
        for items in batch.iter_chunks(_ROWS):
            self._writer.write([item.value for item in items])


def main() -> None:
    """Run until SIGTERM."""
    app = Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        commit_every=100_000,
        commit_interval=1.0,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=Path("quixstreams-state"),
        loglevel="WARNING",
    )
    topic = app.topic(os.environ["BENCH_TOPIC"], value_deserializer="json", key_deserializer="bytes")
    frame = app.dataframe(topic)
    frame = frame.filter(valid)
    frame.sink(ClickHouseSink())
    app.run()


if __name__ == "__main__":
    main()
