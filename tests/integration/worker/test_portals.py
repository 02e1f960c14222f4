"""A topic for each portal: two workers read all of them, and what an agency reports in the topic of another is a dead letter."""

from __future__ import annotations

import uuid

import pytest

from deploy.native.processes import wait_until
from tests.factories import a_message
from tests.sending import send

EVENTS = 40


@pytest.fixture
def portals(chain):
    """The chain with topics of the portals H17 and H62; ``chain.portal(code)`` names the topic of one."""
    prefix = f"portal-{uuid.uuid4().hex[:8]}."
    chain.environment |= {"PORTALPULSE_KAFKA__PORTAL_PREFIX": prefix, "PORTALPULSE_KAFKA__METADATA_MAX_AGE_SECONDS": "2"}
    chain.portal = lambda code: f"{prefix}{code}"
    for code in ("H17", "H62"):
        chain.kafka.create_topic(chain.portal(code), partitions=2)
    return chain


def report(chain, portal, agency, count=EVENTS):
    """Send events of an agency to the topic of a portal."""
    pairs = ((str(number).encode(), a_message(agency_code=agency)) for number in range(count))
    assert send(chain.kafka.bootstrap, chain.portal(portal), pairs).complete


def await_counts(chain, *, events, set_aside):
    """Wait until so many events are tallied and dead letters kept, and check that each was counted once."""
    wait_until(
        lambda: (chain.rolled_up(), chain.tallied(), chain.stored(), chain.dead_letters()) == (events, events, events, set_aside),
        timeout=150,
        what=f"{events} events and {set_aside} dead letters",
    )


def test_every_portal_reports_for_itself(portals):
    """Topics of all portals are read, those that come later too; a wrong agency is a dead letter of its own reason."""
    first, second = portals.worker(), portals.worker()
    report(portals, "H17", "H17")
    report(portals, "H62", "000.00.16.H62")
    await_counts(portals, events=2 * EVENTS, set_aside=0)
    report(portals, "H62", "H17", count=5)
    await_counts(portals, events=2 * EVENTS, set_aside=5)
    late = portals.portal("H30")
    portals.kafka.create_topic(late, partitions=2)
    report(portals, "H30", "H30")
    await_counts(portals, events=3 * EVENTS, set_aside=5)
    second.process.kill()
    report(portals, "H30", "H30")
    await_counts(portals, events=4 * EVENTS, set_aside=5)
    rows = portals.server.query(f"SELECT DISTINCT topic, toString(reason), error FROM {portals.database}.dead_letters")
    assert rows.strip() == f"{portals.portal('H62')}\twrong_portal\tagency_code H17 in the topic of portal \\'H62\\'"
    assert first.process.running
    log = first.process.log.read_text()
    assert "not found in cluster metadata" not in log
    assert "Ignoring missing topic" not in log
