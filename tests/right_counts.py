"""What messages count as by the rules of ``judge``: what every storage and every worker is compared with."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

from domain.dossiers import Dossier, judge
from domain.events import DossierEvent


def right_counts(messages: Iterable[DossierEvent]) -> Mapping[DossierEvent, frozenset[str]]:
    """The names of the counts in which each distinct message is included, given all messages.

    Messages that differ only in their portal are one message; it is returned without a portal.
    """
    by_code: dict[str, list[DossierEvent]] = defaultdict(list)
    for message in dict.fromkeys(dataclasses.replace(message, portal_id="") for message in messages):
        by_code[message.dossier_code].append(message)
    return {message: names for known in by_code.values() for message, names in _of_dossier(known).items()}


def _of_dossier(known: list[DossierEvent]) -> Mapping[DossierEvent, frozenset[str]]:
    dossier = judge(known)
    found = {message: set() for message in known}
    same: dict[tuple[object, ...], list[DossierEvent]] = defaultdict(list)
    for message in known:
        same[message.agency, message.occurred_at, message.event_id, message.status].append(message)
    for alike in same.values():
        [counting] = _events_of(judge(alike), alike)
        found[counting].add("events")
    if isinstance(dossier, Dossier):
        for event in dossier.events:
            found[event] |= dossier.counts_of(event) | ({"given_back"} if event is dossier.given_back else set())
    return {message: frozenset(names) for message, names in found.items()}


def _events_of(judged: object, alike: list[DossierEvent]) -> tuple[DossierEvent, ...]:
    assert isinstance(judged, Dossier), f"{len(alike)} variants of one message"
    return judged.events
