"""A database that counted events counts dossiers after the first start, whatever ended in between."""

from __future__ import annotations

import json
import random

import pytest

from domain.agencies import AgencyRegistry
from domain.events import DossierEvent
from domain.periods import civil_day
from domain.units import unit_of_event
from pipeline.wiring.recount_dossiers import recount_dossiers
from pipeline.wiring.storage import prepare
from sinks.clickhouse.migrate import migrate, packaged_migrations
from sinks.errors import Fatal
from tests.contract.breadth import mainly_served
from tests.contract.dossier_model import dossiers_of, expected, tallied

REGISTRY = AgencyRegistry.packaged()


def old_events(seed):
    """Events as a release before dossiers stored them: with channel and level, one for each agency, time and id."""
    found = {}
    for number in range(40):
        for event in dossiers_of(random.Random(seed * 1_000 + number)):
            code = f"000.00.00.H17-240315-{number:03d}{event.dossier_code[-2:]}"
            fields = {name: getattr(event, name) for name in event.__slots__}
            fields |= {"dossier_code": code, "channel": event.channel or 1, "service_level": event.service_level or "mot_phan"}
            unit = unit_of_event(REGISTRY, agency_code=event.agency, dossier_code=code, day=civil_day(event.occurred_at))
            fields |= {"agency": unit.code, "named_by_code": unit.named_by_code}
            found[fields["agency"], fields["occurred_at"], fields["event_id"]] = DossierEvent(**fields)
    return list(found.values())


def store_as_before(clickhouse, events):
    """A database of the release before, with events and tallies that counted them."""
    clickhouse.command("test", f"DROP DATABASE {clickhouse.target.database}")
    migrate(clickhouse, tuple(migration for migration in packaged_migrations() if migration.number < 12))
    rows = (
        {
            "agency": event.agency,
            "occurred_at": f"{event.occurred_at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            "event_id": str(event.event_id),
            "dossier_code": event.dossier_code,
            "procedure_code": event.procedure_code,
            "status": event.status,
            "channel": event.channel,
            "service_level": event.service_level,
            "legacy_level": 0,
            "returned_by": event.returned_by,
            "portal_id": "",
            "topic": "t",
            "partition": 0,
            "offset": 1,
        }
        for event in events
    )
    body = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    columns = list(json.loads(body.partition(b"\n")[0]))
    clickhouse.insert("test", "dossier_events", columns, body, "JSONEachRow")
    clickhouse.command(
        "test",
        "INSERT INTO agency_minute (agency, minute, events, submitted, submitted_online, settled, settled_full, refused, "
        "withdrawn, stopped, last_event_at, version) SELECT agency, toStartOfMinute(occurred_at), count(), 9, 9, 9, 9, 9, 9, 9, "
        "max(occurred_at), count() FROM dossier_events GROUP BY ALL",
    )
    clickhouse.command(
        "test",
        "INSERT INTO agency_day (agency, day, events, submitted, submitted_online, settled, settled_full, refused, withdrawn, "
        "stopped, last_event_at, version) VALUES ('H99', '2024-03-15', 1, 1, 1, 1, 1, 1, 1, 1, now64(3), 1)",
    )


def non_zero(tallies):
    """The tallies without rows of zeros."""
    return {table: {key: counts for key, counts in rows.items() if counts} for table, rows in tallies.items()}


def test_stored_events_are_counted_as_dossiers(one_clickhouse):
    """Every tally is what the rules give for the stored events, and an agency without events has none."""
    events = old_events(1)
    store_as_before(one_clickhouse, events)
    later = [migration.number for migration in packaged_migrations() if migration.number >= 12]
    assert [migration.number for migration in prepare(one_clickhouse, REGISTRY)] == later
    assert non_zero(tallied(one_clickhouse)) == expected(events)
    assert prepare(one_clickhouse, REGISTRY) == ()


@mainly_served
@pytest.mark.parametrize(
    "ends_at", [pytest.param(step, marks=() if step == 10 else pytest.mark.long) for step in range(1, 12, 3)]
)
def test_it_goes_on_where_it_ended(clickhouse, ends_at):
    """A start that ends anywhere is repeated by the next one."""
    events = old_events(2)
    store_as_before(clickhouse, events)
    calls = 0
    command = clickhouse.command

    def ending(operation, sql, parameters=None, **settings):
        nonlocal calls
        if not sql.startswith(("ALTER", "CREATE", "RENAME")):
            calls += 1
            if calls == ends_at:
                raise Fatal("The process was killed.")
        command(operation, sql, parameters, **settings)

    clickhouse.command = ending
    with pytest.raises(Fatal, match="was killed"):
        prepare(clickhouse, REGISTRY)
    clickhouse.command = command
    prepare(clickhouse, REGISTRY)
    assert non_zero(tallied(clickhouse)) == expected(events)


@pytest.mark.long
@mainly_served
def test_progress(clickhouse):
    """The messages that are done are reported up to the number that there are."""
    events = old_events(3)
    store_as_before(clickhouse, events)
    reports = []
    migrate(
        clickhouse, steps={13: lambda: recount_dossiers(clickhouse, REGISTRY, lambda done, total: reports.append((done, total)))}
    )
    assert reports[-1] == (len(events), len(events))
    assert reports == sorted(reports)
