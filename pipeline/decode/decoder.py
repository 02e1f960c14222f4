"""Turns message values into event columns: by the bulk path, then by the validator for messages about which that is not certain.

Only the validator rejects a message. When the bulk path fails with an unforeseen error, the validator decides about every
message of the batch. The validator also decides about all messages of a small batch, because one call of the bulk path costs as
much as validating some messages.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from domain.agencies import AgencyRegistry
from domain.errors import FATAL, InvariantError, place_of_error
from domain.events import DossierEvent, Rejection
from pipeline.decode import json_parser
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.bulk import MIN_MATCHED, BulkDecoder
from pipeline.decode.event_schema import EVENT_SCHEMA
from pipeline.decode.event_tables import tables_of
from pipeline.decode.message_owners import MessageOwners
from pipeline.decode.validator import EventValidator

#: Messages from which a batch is decoded in bulk.
_MIN_BULK: Final = 100


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded batch. Every message is either among the events or among the rejections."""

    events: pa.Table  # EVENT_SCHEMA, in any order
    rejections: tuple[tuple[int, Rejection], ...]  # (position, rejection), ascending
    validated: int  # messages that the validator decided because the bulk path did not
    bulk_error: str = ""  # the unforeseen error of the bulk path; empty: none


class Decoder:
    """Decodes batches with one registry of agencies. Several threads may use it at once.

    Args:
        registry: the registry of agencies.
        min_bulk: smallest number of messages of a batch that is decoded in bulk.
        min_matched: smallest number of messages of a batch that is matched with templates (``BulkDecoder``).
    """

    def __init__(self, registry: AgencyRegistry, *, min_bulk: int = _MIN_BULK, min_matched: int = MIN_MATCHED) -> None:
        self._min_bulk = min_bulk
        self._validator = EventValidator(registry)
        self._agencies = AgencyColumns(registry)
        self._bulk = BulkDecoder(self._agencies, min_matched=min_matched)

    @property
    def agencies(self) -> tuple[str, ...]:
        """The codes of agencies in the order of the dictionary of the column ``agency``."""
        return self._agencies.codes

    def decode(
        self, values: Sequence[bytes | None], *, latest: dt.datetime, portals: Sequence[tuple[str | None, int]] = ()
    ) -> Decoded:
        """Sort messages into events and rejections.

        Args:
            values: message values in the order of their positions; None is a tombstone.
            latest: no event may be dated after this instant (aware).
            portals: in the order of ``values``: the portal of a topic (``domain.portal_topics``; None: any agency), and how many
                of the values came in this topic. Empty: any agency may report in every message.

        Raises:
            MemoryError, InvariantError: the process is at fault, not a message. Nothing of the batch may be acknowledged.
        """
        owners = MessageOwners(portals, len(values), self._agencies)
        if len(values) < self._min_bulk:
            tables, rejections = self._validated(values, range(len(values)), latest, owners)
            return self._decoded(tables, rejections, len(values), validated=0)
        tables = []
        doubtful: list[int] = []
        bulk_error = ""
        step = json_parser.MAX_MESSAGES  # Arrow's text columns end at 2 GiB; this many messages of MAX_MESSAGE_BYTES stay below
        try:
            for first in range(0, len(values), step):
                found, doubts = self._bulk.decode(values[first : first + step], first, latest, owners.indices(first, step))
                tables += found
                doubtful += doubts
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - one message must not stop the batch; the validator finds out which it is
            tables, doubtful, bulk_error = [], list(range(len(values))), place_of_error(error)
        found, rejections = self._validated(values, sorted(doubtful), latest, owners)
        return self._decoded([*tables, *found], rejections, len(values), validated=len(doubtful), bulk_error=bulk_error)

    def _decoded(
        self,
        tables: Sequence[pa.Table],
        rejections: Sequence[tuple[int, Rejection]],
        messages: int,
        *,
        validated: int,
        bulk_error: str = "",
    ) -> Decoded:
        table = pa.concat_tables(tables) if tables else EVENT_SCHEMA.empty_table()
        _expect_each_once(table, rejections, messages)
        return Decoded(table, tuple(rejections), validated, bulk_error)

    def _validated(
        self, values: Sequence[bytes | None], positions: Iterable[int], latest: dt.datetime, owners: MessageOwners
    ) -> tuple[list[pa.Table], list[tuple[int, Rejection]]]:
        """Validate messages one by one; return the events as tables, and the rejections by position (ascending)."""
        events: list[tuple[int, DossierEvent]] = []
        rejections: list[tuple[int, Rejection]] = []
        for position in positions:
            verdict = self._validator.validate(values[position], latest=latest, portal=owners.portal(position))
            if isinstance(verdict, Rejection):
                rejections.append((position, verdict))
            else:
                events.append((position, verdict))
        tables, unfit = tables_of(events, self._agencies)
        return tables, sorted([*rejections, *unfit], key=lambda rejected: rejected[0])


def _expect_each_once(table: pa.Table, rejections: Sequence[tuple[int, Rejection]], count: int) -> None:
    """Check that each of ``count`` messages is an event or a rejection, and not both or twice.

    Raises:
        InvariantError: a message is missing or is there twice.
    """
    rejected = np.fromiter((position for position, _ in rejections), dtype=np.int64, count=len(rejections))
    seen = np.bincount(np.concatenate([table.column("position").to_numpy(), rejected]), minlength=count)
    if len(seen) != count or not (seen == 1).all():
        raise InvariantError(
            f"Of {count} messages {table.num_rows} were decoded as events and {len(rejections)} were rejected.",
            remedy="Nothing of this batch is acknowledged. Please report it with the messages at these offsets.",
        )
