"""Findings name what is unusual about a dossier, once a kind, at the event that shows it."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossiers import MAX_EVENTS
from domain.findings import Finding, FindingKind, findings
from domain.periods import civil_day
from tests.factories import MORNING, an_event
from tests.unit.domain.test_dossiers import HOUR, events_of

REGISTRY = AgencyRegistry.packaged()
NONE, COUNTER, OTHER = {"channel": 0, "service_level": ""}, {"channel": 1}, {"agency": "H29"}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((1, 2, 4, 9, 10), {}),
        ((2, 5, 1, 9, 10), {}),
        ((1, 9, 9, 9), {"settled_twice": 2}),
        ((1, 2, 10, 10), {"settled_by_return": 2}),
        ((1, 3, 10, 10), {"returned_after_refusal": 2}),
        ((1, 3, 4, 1, 2, 9), {"resubmitted": 3}),
        ((1, 9, 5, 4, 9), {"reopened": 2, "settled_twice": 4}),
        ((4, 9), {"first_seen_late": 0}),
        ((9, 2, 1), {"first_seen_late": 0, "settled_before_submitted": 0, "reopened": 1}),
        ((9, 4), {"first_seen_late": 0, "reopened": 1}),
        ((1, (2, COUNTER), (9, COUNTER)), {"several_channels": 1}),
        (((1, NONE), 2, 9), {}),
        ((1, (2, OTHER), (9, OTHER)), {"several_units": 1}),
        ((1, (9, {"named_by_code": False})), {"other_unit_than_code": 1}),
        (((1, NONE), (9, NONE), 10), {"no_level": 1}),
        (((1, NONE), (9, NONE)), {"no_channel": 0, "no_level": 1}),
    ],
)
def test_findings_of_a_dossier(statuses, expected):
    """Each unusual course of a dossier has its findings and no others."""
    events = events_of(*statuses)
    found = {str(finding.kind): events.index(finding.event) for finding in findings(events, REGISTRY)}
    assert found == expected


def test_units_that_a_succession_links_are_no_finding():
    """A dossier that begins before a merger and ends after it is in one unit."""
    events = events_of((1, {"agency": "H62"}), (9, {"agency": "H44"}))
    assert findings(events, REGISTRY) == ()


def test_a_corrected_time():
    """The counting event of which a message with another time is known is named, not its earlier message."""
    same = uuid.UUID(int=7)
    early = an_event(event_id=same, dossier_code="H17-240102-0001", status=1)
    late = an_event(event_id=same, dossier_code="H17-240102-0001", status=1, occurred_at=MORNING + HOUR)
    assert findings([late, early, early], REGISTRY) == (Finding(FindingKind.CORRECTED_TIME, "H17-240102-0001", late),)
    assert findings([early, early], REGISTRY) == ()


def test_too_many_events():
    """A code with too many events has this finding alone, without a day."""
    events = [an_event(dossier_code="H17-240102-0001") for _ in range(MAX_EVENTS + 1)]
    assert findings(events, REGISTRY) == (Finding(FindingKind.TOO_MANY_EVENTS, "H17-240102-0001", None),)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((1, 9), {}),
        ((1, (9, {"service_level": "mot_phan"})), {"level_differs": 1}),
        (((1, {"service_level": "mot_phan"}), (9, {"service_level": ""})), {"level_differs": 1}),
        (((1, {"service_level": ""}), (9, {"service_level": ""})), {"no_level": 1}),
        ((1, (9, {"procedure_code": "2"})), {"not_in_catalogue": 1}),
        ((1, (9, {"procedure_code": "2", "service_level": ""})), {"not_in_catalogue": 1}),
        ((1, (2, {"procedure_code": "2"})), {}),
    ],
)
def test_findings_beside_the_catalogue(statuses, expected):
    """A settled dossier is compared with the catalogue of its day; a unit without one on that day has no finding."""
    events = events_of(*statuses, agency="H17", procedure_code="1", service_level="toan_trinh", named_by_code=True)
    entry = CatalogueEntry("H17", "1", civil_day(MORNING), service_level="toan_trinh")

    def kinds(*entries):
        found = findings(events, REGISTRY, (), Catalogue(entries))
        return {finding.kind.value: events.index(finding.event) for finding in found}

    assert kinds(entry) == expected
    others = {kind: at for kind, at in expected.items() if kind == "no_level"}
    day_after = civil_day(MORNING) + 24 * HOUR
    assert kinds() == kinds(replace(entry, agency="H18")) == kinds(replace(entry, valid_from=day_after)) == others
