"""Summaries and parameters, for the OpenAPI document, of the GET endpoints below ``/api/v1`` that the board does not use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_DAYS: Final = ("from", "to")
_SHARD: Final = ("number", "of")
#: docs/reports.md says what they mean.
_REPORT: Final = (
    *("by", "calendar", "compare", "day", "figures", "from", "half", "last", "min_volume", "month", "quarter", "to", "units"),
    *("year", "ytd"),
)
_RAW: Final = " (role operate)"

#: Path -> summary and names of the parameters in the query.
OTHERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "/api/v1/audit/days": ("Civil days that have events" + _RAW, _DAYS),
    "/api/v1/audit/days/{day}": ("Tallies of a day against its stored events" + _RAW, ("settle",)),
    "/api/v1/audit/days/{day}/contradictions": ("Messages of a day that contradict each other" + _RAW, ()),
    "/api/v1/audit/dossiers": ("Dossiers against what is stored of them" + _RAW, (*_DAYS, *_SHARD, "settle")),
    "/api/v1/audit/expired": ("Messages that expired, and since when all are there", ()),
    "/api/v1/audit/partitions": ("Partitions of the topic, with what is stored of them" + _RAW, ()),
    "/api/v1/audit/partitions/{partition}": ("Messages of a partition against the storage" + _RAW, ("begin", "end", "topic")),
    "/api/v1/audit/repeats": ("Event ids that were used twice" + _RAW, (*_DAYS, *_SHARD)),
    "/api/v1/audit/unread": ("Offsets that left the topic before they were read", ()),
    "/api/v1/catalogue": ("What agencies offer online", ("agency", "all", "day", "procedure")),
    "/api/v1/dead-letters": ("Dead letters" + _RAW, ("after", *_DAYS, "limit", "reason", "replayed", "topic")),
    "/api/v1/dead-letters/{topic}/{partition}/{offset}": ("One dead letter, whole" + _RAW, ()),
    "/api/v1/dossiers/{code}": ("What is known of a dossier, and why it counts" + _RAW, ()),
    "/api/v1/events": ("Stored events as messages of the event contract" + _RAW, (*_DAYS, "agency")),
    "/api/v1/findings": ("Unusual dossiers" + _RAW, (*_DAYS, *_SHARD, "agency", "by")),
    "/api/v1/findings/shards": ("Into how many shards a search for findings is cut" + _RAW, (*_DAYS, "agency")),
    "/api/v1/misplaced": ("Events at agencies and days that the registry does not have", ()),
    "/api/v1/progress": ("A worker's own counters since its start", ()),
    "/api/v1/report": ("A report; /report is the page to print", (*_REPORT, "question", "wait")),
    "/api/v1/report/explanation": ("What moved a rate", (*_REPORT, "agency", "indicator")),
    "/api/v1/report/verification": ("A report, counted again from the messages" + _RAW, (*_REPORT, *_SHARD)),
    "/api/v1/report/verification/shards": ("Into how many shards this is cut" + _RAW, _REPORT),
    "/api/v1/retention": ("What is kept since when, and what would expire" + _RAW, ()),
    "/api/v1/status": ("Stored and tallied events, newest event, dead letters", ()),
    "/api/v1/steps": ("Numerators and denominators of agencies by steps of minutes", (*_DAYS, "step")),
}
