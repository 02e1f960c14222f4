"""No framework: aiokafka's ``getmany``, clickhouse-connect, and a commit after every insert, as both guides recommend.

Run as a program: ``python -m bench.contenders.aiokafka_plain`` with BENCH_* in the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec
from aiokafka import AIOKafkaConsumer

from bench.contenders.tables import Writer, valid


async def main() -> None:
    """Read, parse, insert, commit; until SIGTERM."""
    writer = Writer()
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_TOPIC"],
        bootstrap_servers=os.environ["BENCH_KAFKA"],
        group_id=os.environ["BENCH_GROUP"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    parse = msgspec.json.Decoder().decode
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await consumer.start()
    try:
        while not stopping.is_set():
            fetched = await consumer.getmany(timeout_ms=500, max_records=50_000)
            events = [event for records in fetched.values() for event in map(parse, (record.value for record in records))]
            if events:
                await asyncio.to_thread(writer.write, [event for event in events if valid(event)])
                await consumer.commit()
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
