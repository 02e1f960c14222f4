"""Turns Arrow tables into the bodies of inserts, and answers that arrive in chunks into a file that Arrow reads."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa


def arrow_stream(table: pa.Table) -> Iterator[bytes]:
    """The ArrowStream body of an insert of the table, in chunks, so that no second copy of the table is complete in memory."""
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


class ChunkReader(io.RawIOBase):
    """A readable binary file over chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        """Always True: the file can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes (all by default); fewer only at the end."""
        parts, missing = [self._rest], size - len(self._rest)
        while size < 0 or missing > 0:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            missing -= len(chunk)
        joined = b"".join(parts)
        end = len(joined) if size < 0 else size
        self._rest = joined[end:]
        return joined[:end]
