"""The bulk path: turns messages into columns many at a time, without handling each of them in Python.

Messages that share a template are cut into columns without a parser (``pipeline.decode.templates``); Arrow parses the others
(``pipeline.decode.json_parser``). The columns of both are then checked (``pipeline.decode.column_checks``). A message
that is not certainly an event is *doubtful*, and the validator decides about it: the bulk path rejects nothing. The bulk path may
be stricter than the validator, never more lenient.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from domain.events import REQUIRED_FIELDS
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.column_checks import accepted
from pipeline.decode.event_schema import MESSAGE_FIELDS
from pipeline.decode.json_parser import Columns, parse_in_pieces
from pipeline.decode.templates import MessageTemplates

#: Messages from which matching costs less than parsing when a batch holds those of a dozen serialisers.
MIN_MATCHED: Final = 3_000


class BulkDecoder:
    """Decodes the messages that are certainly events. Several threads may use it at once.

    Args:
        agencies: the registry of agencies as arrays.
        min_matched: smallest number of messages of a batch that is matched with templates; a smaller batch is parsed.
    """

    def __init__(self, agencies: AgencyColumns, *, min_matched: int = MIN_MATCHED) -> None:
        self._agencies, self._min_matched = agencies, min_matched
        self._templates = MessageTemplates(
            texts=[name for name, kind in MESSAGE_FIELDS if kind == pa.string()],
            numbers=[name for name, kind in MESSAGE_FIELDS if kind != pa.string()],
            required=REQUIRED_FIELDS,
        )

    def decode(
        self, values: Sequence[bytes | None], first: int, latest: dt.datetime, owners: np.ndarray | None = None
    ) -> tuple[list[pa.Table], list[int]]:
        """The events as tables, and the positions of doubtful messages.

        Args:
            values: at most ``json_parser.MAX_MESSAGES`` message values.
            first: position of the first of these values.
            latest: no event may be dated after this instant (aware).
            owners: for each message the index of the only agency that may report in it, or ``ANY_AGENCY``; None: any agency may
                report in all of them.
        """
        tables: list[pa.Table] = []
        doubtful: list[int] = []
        groups, others = self._templates.split(values) if len(values) >= self._min_matched else ([], np.arange(len(values)))
        pieces = [(group.positions, {name: group.column(name) for name, _ in MESSAGE_FIELDS}) for group in groups]
        pieces += parse_in_pieces(values, others, doubtful)
        for positions, columns in _joined(pieces):
            table, doubts = accepted(columns, positions, self._agencies, first=first, latest=latest, owners=owners)
            tables += [table] if table.num_rows else []
            doubtful += doubts
        return tables, [first + position for position in doubtful]


def _joined(pieces: list[tuple[np.ndarray, Columns]]) -> list[tuple[np.ndarray, Columns]]:
    """Join pieces to one: there may be many, and checking one more piece costs as much as checking some thousand rows more."""
    if len(pieces) < 2:
        return pieces
    columns: Columns = {}
    for name, kind in MESSAGE_FIELDS:
        found = [(len(positions), each[name]) for positions, each in pieces]
        if any(column is not None for _, column in found):
            chunks = [chunk for rows, column in found for chunk in ([pa.nulls(rows, kind)] if column is None else column.chunks)]
            columns[name] = pa.chunked_array([pa.concat_arrays(chunks)])
        else:
            columns[name] = None
    return [(np.concatenate([positions for positions, _ in pieces]), columns)]
