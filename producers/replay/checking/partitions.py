"""Rows in temporary files, divided by a hash, so that all rows of one hash can be read together in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow as pa

from producers.replay.system_errors import temporary_files

#: Files that are written at the same time.
FAN_OUT: Final = 64
_BITS: Final = FAN_OUT.bit_length() - 1
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")

#: A hash of 64 bits for each row of a table; rows that belong together have the same one.
Hash = Callable[[pa.Table], np.ndarray]


@dataclass(slots=True)
class Partition:
    """The rows in one file, and the bounds of their hashes."""

    path: Path
    level: int
    rows: int = 0
    lowest: int = field(default=np.iinfo(np.int64).max)
    highest: int = field(default=np.iinfo(np.int64).min)

    @property
    def divisible(self) -> bool:
        """Whether the rows can be divided further by the next bits of the hash."""
        return not self.of_one_hash and _BITS * (self.level + 1) < 64

    @property
    def of_one_hash(self) -> bool:
        """Whether all rows have one hash."""
        return self.lowest == self.highest

    def tables(self) -> Iterator[pa.Table]:
        """The rows of the file, in the pieces in which they were written.

        Raises:
            UnavailableError: the file cannot be opened.
        """
        with ExitStack() as closing:
            with _space():
                reader = closing.enter_context(pa.ipc.open_stream(closing.enter_context(pa.OSFile(str(self.path)))))
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def table(self) -> pa.Table:
        """All rows of the file as one table."""
        return pa.concat_tables(self.tables())

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink()


class TemporaryRows:
    """A temporary folder of partitions; make one with ``opened``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[TemporaryRows]:
        """Make a folder below the system's folder for temporary files (``TMPDIR``); the folder is deleted at the end."""
        with _space():
            folder = TemporaryDirectory(prefix="portalpulse-check-", ignore_cleanup_errors=True)
        with folder as name:
            yield cls(Path(name))

    def divided(self, tables: Iterable[pa.Table], hashed: Hash, *, level: int = 0) -> list[Partition]:
        """Write rows to at most ``FAN_OUT`` partitions; all rows with one hash go to the same partition, in their order.

        Args:
            tables: the rows, of one schema.
            hashed: computes the hash of each row.
            level: which bits of the hash choose the partition.

        Raises:
            UnavailableError: the files cannot be written.
        """
        found: dict[int, Partition] = {}
        writers: dict[int, pa.RecordBatchWriter] = {}
        with ExitStack() as stack:
            for table in tables:
                hashes = hashed(table)
                numbers = (hashes >> (_BITS * level)) & (FAN_OUT - 1)
                order = np.argsort(numbers, kind="stable")
                ordered, sorted_hashes = table.take(pa.array(order)), hashes[order]
                ends = np.cumsum(np.bincount(numbers, minlength=FAN_OUT))
                for number in np.unique(numbers).tolist():
                    start, end = int(ends[number - 1]) if number else 0, int(ends[number])
                    with _space():
                        if number not in writers:
                            found[number] = Partition(self._folder / str(next(self._numbers)), level)
                            file = stack.enter_context(pa.OSFile(str(found[number].path), "wb"))
                            writers[number] = stack.enter_context(
                                _closing(pa.ipc.new_stream(file, table.schema, options=_OPTIONS))
                            )
                        writers[number].write_table(ordered.slice(start, end - start).combine_chunks())
                    partition, part = found[number], sorted_hashes[start:end]
                    partition.rows += end - start
                    partition.lowest = min(partition.lowest, int(part.min()))
                    partition.highest = max(partition.highest, int(part.max()))
        return list(found.values())


@contextmanager
def _closing(writer: pa.RecordBatchWriter) -> Iterator[pa.RecordBatchWriter]:
    try:
        yield writer
    finally:
        with _space():
            writer.close()


def _space() -> AbstractContextManager[None]:
    return temporary_files("The temporary files of the check", need="the check needs about 100 bytes for each message")
