"""Recorded events from files: NDJSON, CSV or Parquet, plain or compressed; ``-`` is standard input, a pipe is read once.

Every file is checked before the first message is sent (``FileSource.check``). A later error names its line; the messages before
it are sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from domain.errors import ConfigurationError
from producers.messages import Message
from producers.replay.sources.csv_rows import check_header, read_csv
from producers.replay.sources.formats import Format, format_of, without_marks
from producers.replay.sources.lines import message_of
from producers.replay.sources.opening import identity, is_regular, opened_file, seekable, shown_name, signature
from producers.replay.sources.packing import ENDINGS, UNPACKING_ERRORS, Packing, packing_of, peeked, unpacked
from producers.replay.sources.position import SourcePosition
from producers.replay.system_errors import reading_remedy
from producers.sending.checkpoint import Content

#: A longer line is not an event, and its file is not a recording (bytes).
_LONGEST_LINE: Final = 64 << 20
#: Bytes read at once for a digest.
_DIGESTED_AT_ONCE: Final = 1 << 20

#: Errors of zstd about undamaged data: its text, why the data cannot be read, and what to do.
_BEYOND_ZSTD: Final = (
    (
        "Dictionary mismatch",
        "it was packed with a zstd dictionary",
        "Unpack it with `zstd -d -D DICTIONARY` and give the result.",
    ),
    (
        "too much memory",
        "it was packed with a zstd window of more than 128 MiB",
        "Unpack it with `zstd -d --long=31` and give the result.",
    ),
)


@dataclass(slots=True)
class _Input:
    """A checked file: its uncompressed bytes, the first of these bytes, and the function that closes it."""

    name: str
    file: BinaryIO
    head: bytes
    format: Format
    packing: Packing | None
    regular: BinaryIO | None  # the file itself when it is seekable
    before: tuple[int, int, int] | None  # its signature when it was opened
    closing: ExitStack


@dataclass(frozen=True, slots=True)
class FileSource:
    """The events of some files, one file after the other; may be iterated several times when ``repeatable``.

    Args:
        names: of the files; ``-`` is standard input.
        format: the format of all files; None: the content of each decides.
        delimiter: between CSV fields; None: the one that the header uses.
    """

    names: tuple[str, ...]
    format: Format | None = None
    delimiter: str | None = None
    _waiting: dict[int, _Input] = field(default_factory=dict, compare=False, repr=False)
    _known: dict[int, tuple[int, int, int]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def label(self) -> str:
        """The names of the files as the report shows them."""
        first = shown_name(self.names[0])
        return first if len(self.names) == 1 else f"{first} and {len(self.names) - 1} more"

    @property
    def repeatable(self) -> bool:
        """Whether the files can be read again from the start: standard input and pipes cannot."""
        return all(is_regular(name) for name in self.names)

    def check(self) -> None:
        """Check every file; a file that can be read only once stays open.

        Raises:
            ConfigurationError: a file cannot be read, or is not a recording of events.
            UnavailableError: a temporary copy cannot be written.
        """
        once = [name for name in self.names if not is_regular(name)]
        if len({identity(name) for name in once}) < len(once):
            named = ", ".join(map(shown_name, once))
            raise ConfigurationError(f"A pipe can be read once, and one is named twice ({named}).", remedy="Name it once.")
        for number, name in enumerate(self.names):
            found = self._opened(name)
            if found.before is None:
                self._waiting[number] = found
            else:
                self._known[number] = found.before
                found.closing.close()

    def contents(self, sizes: Sequence[int] | None = None) -> tuple[Content, ...]:
        """Size and digest of every file; the files must be ``repeatable``.

        ``sizes``: read only this many bytes of each file; a shorter file is read as a whole.
        """
        return tuple(_content(name, None if sizes is None else sizes[number]) for number, name in enumerate(self.names))

    def __call__(self) -> Iterator[Message]:
        """The messages, in the order of the files.

        Raises:
            ConfigurationError: a file cannot be read to its end; the error says how far it was read.
        """
        for message, _ in self.positioned():
            yield message

    def positioned(self) -> Iterator[tuple[Message, SourcePosition]]:
        """Each message with its place: one position object for each file, which changes as the reader goes on.

        Raises:
            ConfigurationError: a file cannot be read to its end; the error says how far it was read.
        """
        for number, name in enumerate(self.names):
            position = SourcePosition(shown_name(name))
            for message in self._read(number, position):
                yield message, position

    def sizes(self) -> tuple[int | None, ...]:
        """The size of every file in bytes, as it is packed; None where the size cannot be known."""
        return tuple(Path(name).stat().st_size if is_regular(name) and Path(name).exists() else None for name in self.names)

    def describe(self, index: int) -> str:
        """Names file and line of a message, given by its number in the recording (from 0), in a sentence.

        Reads the files up to there.
        """
        if self.repeatable:
            left = index
            for number, name in enumerate(self.names):
                position = SourcePosition(name)
                for _ in self._read(number, position):
                    if left == 0:
                        return str(position)
                    left -= 1
        return f"{self.label}, message {index + 1:,}"

    def _read(self, number: int, position: SourcePosition) -> Iterator[Message]:
        found = self._waiting.pop(number, None) or self._opened(self.names[number])
        with found.closing:
            if found.before != self._known.get(number, found.before):
                raise _changed(position)
            position.file = found.regular
            try:
                yield from self._messages(found, position)
            except UNPACKING_ERRORS as error:
                raise _broken(position, found.packing, error) from error
            if found.regular is not None and signature(found.regular) != found.before:
                raise _changed(position)

    def _messages(self, found: _Input, position: SourcePosition) -> Iterator[Message]:
        match found.format:
            case Format.CSV:
                return read_csv(found.file, position, head=found.head, delimiter=self.delimiter)
            case Format.PARQUET:
                from producers.replay.sources.parquet_rows import opened_parquet, read_parquet  # noqa: PLC0415 - see packing.py

                position.unit = "row"
                return read_parquet(opened_parquet(found.file, found.name), position)
            case _:
                return _ndjson(found.file, position)

    def _opened(self, name: str) -> _Input:
        """Open a file and check its beginning.

        Raises:
            ConfigurationError: the file cannot be read, or is not a recording of events.
            UnavailableError: the file's temporary copy cannot be written.
        """
        packing: Packing | None = None
        shown = shown_name(name)
        with ExitStack() as closing:
            try:
                raw = closing.enter_context(opened_file(name))
                regular = raw if is_regular(name) else None
                before = None if regular is None else signature(regular)
                head, file = peeked(raw)
                if not head and (ending := Path(name).suffix.lower()) in ENDINGS:
                    raise ConfigurationError(
                        f"{shown} is empty, and a {ENDINGS[ending]} file is not.", remedy="Copy or download it again."
                    )
                if packing := packing_of(head):
                    head, file = peeked(closing.enter_context(unpacked(file, packing)))
                    if inner := packing_of(head):
                        raise ConfigurationError(
                            f"{shown} is packed twice: {inner.name} in {packing.name}.",
                            remedy="Unpack it once and give the result.",
                        )
                kind = format_of(head, shown, wanted=self.format)
                if kind is Format.CSV:
                    check_header(head, shown, delimiter=self.delimiter)
                elif kind is Format.PARQUET:
                    from producers.replay.sources.parquet_rows import opened_parquet  # noqa: PLC0415 - see packing.py

                    file = seekable(file, regular if packing is None else None, shown, closing)
                    opened_parquet(file, shown)
            except UNPACKING_ERRORS as error:
                raise _broken(SourcePosition(shown), packing, error) from error
            return _Input(shown, file, head, kind, packing, regular, before, closing.pop_all())
        raise AssertionError  # the block above returns or raises


def _ndjson(file: BinaryIO, position: SourcePosition) -> Iterator[Message]:
    """One message for each line that is not blank. A line that is not an event is sent unchanged, without a key."""
    for position.number, raw in enumerate(iter(partial(file.readline, _LONGEST_LINE + 1), b""), 1):
        if len(raw) > _LONGEST_LINE:
            raise ConfigurationError(
                f"{position} is longer than {_LONGEST_LINE >> 20} MiB: no event is.", remedy="Give a file with an event a line."
            )
        line = without_marks(raw).rstrip(b"\r\n")  # joined files have one in the middle
        if line.strip():
            yield message_of(line)


def _content(name: str, limit: int | None) -> Content:
    """Size and digest of the first ``limit`` bytes of a file; None: of all bytes.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    digest, size = hashlib.blake2b(digest_size=16), 0
    try:
        with opened_file(name) as file:
            while chunk := file.read(_DIGESTED_AT_ONCE if limit is None else min(_DIGESTED_AT_ONCE, limit - size)):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise _broken(SourcePosition(name), None, error) from error
    return size, digest.hexdigest()


def _changed(position: SourcePosition) -> ConfigurationError:
    return ConfigurationError(
        f"{position.name} changed while it was replayed.", remedy="Replay it again when no process writes to it any more."
    )


def _broken(position: SourcePosition, packing: Packing | None, error: Exception) -> ConfigurationError:
    """The error to raise when reading ended early: why, and how far the file was read."""
    cut_off = isinstance(error, EOFError) or "Truncated" in str(error) or "ended before" in str(error)
    remedy = "Copy or download it again."
    if isinstance(error, OSError) and error.strerror:
        reason, remedy = error.strerror, reading_remedy(error, otherwise=remedy)
    elif beyond_zstd := next((found for words, *found in _BEYOND_ZSTD if words in str(error)), None):
        reason, remedy = beyond_zstd
    elif packing is not None:
        reason = f"its {packing.name} data are cut off" if cut_off else f"its {packing.name} data are damaged ({error})"
    else:
        reason = str(error) or type(error).__name__
    beyond = f" beyond {position.unit} {position.number:,}" if position.number else ""
    return ConfigurationError(f"{position.name} cannot be read{beyond}: {reason}.", remedy=remedy)
