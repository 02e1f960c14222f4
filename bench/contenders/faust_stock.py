"""Stock Faust as its guide shows it: JSON values, ``take`` and a batch insert.

Run as a program: ``python -m bench.contenders.faust_stock worker -l warn --without-web`` with BENCH_* in the environment.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust

from bench.contenders.tables import Writer, valid


def create_app() -> faust.App:
    """The app of the guide, with the settings that a single-purpose worker would use."""
    app = faust.App(
        os.environ["BENCH_GROUP"],
        broker=f"kafka://{os.environ['BENCH_KAFKA']}",
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=20_000,
        broker_commit_interval=1.0,
        stream_wait_empty=False,
    )
    topic = app.topic(os.environ["BENCH_TOPIC"], value_serializer="json", key_serializer="raw", key_type=bytes)
    writer = Writer()

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for batch in stream.take(20_000, within=0.5):
            await asyncio.to_thread(writer.write, [event for event in batch if valid(event)])

    return app


if __name__ == "__main__":
    create_app().main()
