"""What answers at a bootstrap address may be another program: one sentence names it, whatever it sends."""

from __future__ import annotations

import asyncio
import struct

import pytest

from domain.errors import UnavailableError
from pipeline.kafka.bootstrap import reachable_addresses
from pipeline.settings import KafkaSettings

#: What another program sends after a request: the four bytes that identify it are given.
ANSWERS = {
    "nothing": lambda _: b"",
    "an HTTP answer": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a length below zero": lambda number: struct.pack(">i", -5) + number,
    "an empty answer": lambda number: struct.pack(">i", 4) + number,
    "zeros": lambda number: struct.pack(">i", 200) + number + b"\0" * 196,
    "ones": lambda number: struct.pack(">i", 200) + number + b"\xff" * 196,
    "an answer to another request": lambda _: struct.pack(">i", 10) + b"\x7f\xff\xff\xff" + b"\0" * 6,
    "half an answer": lambda number: struct.pack(">i", 200) + number + b"\0" * 50,
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_another_program_at_the_address_of_a_broker(kind):
    """An answer that Kafka does not give is one sentence with the address and a remedy, never an error of the client."""

    async def answer(reader, writer):
        try:
            while head := await reader.readexactly(4):
                request = await reader.readexactly(struct.unpack(">i", head)[0])
                writer.write(ANSWERS[kind](request[4:8]))
                await writer.drain()
                if kind in ("nothing", "half an answer", "an HTTP answer"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = KafkaSettings(bootstrap=(f"127.0.0.1:{port}",))
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}") as refused:
        await reachable_addresses(settings, client_id="test", answer_seconds=1.0)
    assert refused.value.remedy
    server.close()
