"""Arrow tables as the bodies of inserts."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa


def arrow_stream(table: pa.Table) -> Iterator[bytes]:
    """A table as the body of an ArrowStream insert, in chunks, so that no second copy of it is ever complete in memory."""
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
