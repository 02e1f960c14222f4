"""Builds dead letters from rejected messages and from rows that the storage refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from domain.errors import FATAL, place_of_error
from domain.events import MAX_MESSAGE_BYTES, Reason, Rejection
from pipeline.decode.kept_message import kept_key, kept_message
from pipeline.ingest.event_rows import OffsetRange
from pipeline.ingest.fetch import MessagePiece
from pipeline.logs import get_logger
from sinks.contract.dead_letters import DeadLetter, Kept

_MAX_ERROR_LENGTH = 500
log = get_logger("dead_letters")


def dead_letters_of(
    rejections: Sequence[tuple[int, Rejection]],
    values: Sequence[bytes | None],
    ranges: Sequence[OffsetRange],
    pieces: Sequence[MessagePiece],
) -> tuple[DeadLetter, ...]:
    """The dead letters of rejected messages: what is kept of each message (``reduced``), and its exact offset.

    Of a message that is too large to be held in memory, ``values`` has only the beginning, which does not parse.

    Args:
        rejections: positions in ``values`` and rejections, ascending.
        values: the message values of all ``pieces``.
        ranges: the offsets of each piece; same length as ``pieces``.
        pieces: the pieces from which ``values`` were unpacked.
    """
    dead_letters = []
    index, start = 0, 0  # of the piece that holds the position
    keys_and_offsets: list[tuple[bytes | None, int]] = []
    for position, rejection in rejections:
        while position >= start + ranges[index].count:
            start += ranges[index].count
            index += 1
            keys_and_offsets = []
        keys_and_offsets = keys_and_offsets or pieces[index].keys_and_offsets()
        key, offset = keys_and_offsets[position - start]
        value, error, whole = values[position], rejection.detail, pieces[index].whole_sizes.get(offset)
        if whole is not None:
            error = f"{whole} bytes; the limit is {MAX_MESSAGE_BYTES}; the first {len(value or b'')} bytes are kept"
        dead_letters.append(
            reduced(
                DeadLetter(
                    topic=ranges[index].topic,
                    partition=ranges[index].partition,
                    offset=offset,
                    key=key,
                    value=value,
                    reason=str(rejection.reason),
                    error=error,
                )
            )
        )
    return tuple(dead_letters)


def reduced(received: DeadLetter) -> DeadLetter:
    """The dead letter to store instead of one with the whole message: with the known fields; unchanged if it does not parse."""
    try:
        value = None if received.value is None else kept_message(received.value)
        key = kept_key(received.key, value)
    except FATAL:
        raise
    except Exception as error:  # noqa: BLE001 - one message must not stop the worker; its bytes are kept for a limited time
        log.warning("dead_letter_kept_whole", reason=place_of_error(error), topic=received.topic, offset=received.offset)
        return received
    if value is None and received.value is not None:
        return received
    return replace(received, key=key, value=value, kept=Kept.FIELDS, received_hash=received.content_hash)


def dead_letter_of_row(rows: pa.Table, error: str) -> DeadLetter:
    """The dead letter of a single row that the storage refused.

    The dead letter's value is the row as JSON. The original message is in Kafka at the same offset.
    """
    row = rows.to_pylist()[0]
    return DeadLetter(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        key=str(row["dossier_code"]).encode(),
        value=json.dumps(row, default=str, ensure_ascii=False).encode(),
        reason=str(Reason.REFUSED_BY_STORAGE),
        error=error[:_MAX_ERROR_LENGTH],
        kept=Kept.FIELDS,
    )
