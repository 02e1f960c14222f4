"""I2, I3 and I4: what is offered, followed through successions and joined by maps."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry, is_full, is_online
from domain.dossiers import Dossier, judge
from domain.indicators import Ratio
from domain.periods import civil_day
from domain.supply import procedures_of
from tests.cases import EXPECTED, FOLDER, dossiers
from tests.unit.domain.test_catalogue import ENTRIES, FIRST, catalogues

REGISTRY = AgencyRegistry.packaged()
BEFORE, AFTER = dt.date(2025, 6, 30), dt.date(2025, 7, 1)


def an_entry(agency, procedure, level="", **changed) -> CatalogueEntry:
    """An entry since 2018."""
    return replace(CatalogueEntry(agency, procedure, FIRST, service_level=level), **changed)


def figures(entries, day=BEFORE, **given_):
    """The indicators on a day."""
    return procedures_of(Catalogue(entries), day=day, registry=REGISTRY, **given_)


def test_each_indicator_has_its_own_base():
    """I2 divides what is toàn trình of all, of those with a dossier, of the eligible; I3 what is online of all; I4 of online."""
    entries = [
        an_entry("H55", "1", "toan_trinh", eligible=True),
        an_entry("H55", "2", "toan_trinh", eligible=False),
        an_entry("H55", "3", "mot_phan", eligible=True),
        an_entry("H55", "4", "cung_cap_thong_tin"),
        an_entry("H55", "5"),
    ]
    submitted = {("H55", "1"), ("H55", "3"), ("H55", "4"), ("H55", "unknown"), ("H99", "1")}
    found = figures(entries, submitted=submitted, submitted_online={("H55", "3"), ("H55", "4"), ("H55", "unknown")})
    supply = found.units["H55"]
    assert (supply.i2a, supply.i2b, supply.i2c) == (Ratio(2, 5), Ratio(1, 3), Ratio(1, 2))
    assert (supply.i3, supply.i4) == (Ratio(3, 5), Ratio(1, 3))
    assert found.units.keys() == {"H55"}
    assert (found.blocks["province"], found.nation) == (supply, supply)
    assert found.blocks["ministry"].i2a == Ratio(0, 0)


def test_only_entries_of_the_last_day_count():
    """An entry that ended before the day, or begins after it, is part of no figure."""
    entries = [
        an_entry("H55", "1", "toan_trinh", valid_to=BEFORE - dt.timedelta(days=1)),
        an_entry("H55", "1", "mot_phan", valid_from=BEFORE),
        an_entry("H55", "2", "toan_trinh", valid_from=AFTER),
    ]
    assert figures(entries).nation.i3 == Ratio(1, 1)
    assert figures(entries).nation.i2a == Ratio(0, 1)


def test_a_dossier_of_a_merged_agency_is_one_of_the_successors_service():
    """The unit of a submitted dossier is followed to the last day: H03 went into H55 on 2025-07-01."""
    entries = [an_entry("H55", "1", "toan_trinh")]
    of_old = {"submitted": {("H03", "1")}, "submitted_online": {("H03", "1")}}
    assert figures(entries, AFTER, **of_old).units["H55"].i4 == Ratio(1, 1)
    assert figures(entries, AFTER, **of_old).units["H55"].i2b == Ratio(1, 1)
    assert figures(entries, BEFORE, **of_old).units["H55"].i4 == Ratio(0, 1)


def test_an_entry_of_a_merged_agency_is_one_of_its_successor():
    """Before the merger there are two services; after it one, at the higher level, with the dossiers of both."""
    entries = [an_entry("H03", "1", "toan_trinh", eligible=True), an_entry("H55", "1", "mot_phan"), an_entry("H03", "2")]
    online = {("H03", "1")}
    before, after = (figures(entries, day, submitted_online=online) for day in (BEFORE, AFTER))
    assert before.units["H03"].i4 == Ratio(1, 1)
    assert before.units["H55"].i4 == Ratio(0, 1)
    assert after.units.keys() == {"H55"}
    assert (after.nation.i4, after.nation.i2a, after.nation.i2c) == (Ratio(1, 1), Ratio(1, 2), Ratio(1, 1))


def test_an_agency_without_successor_has_no_service_later():
    """Where nobody is responsible on the day, nothing is offered."""
    assert figures([an_entry("H99", "1", "toan_trinh")]).nation.i3 == Ratio(0, 0)


def test_a_map_that_joins_units_adds_services_and_counts_procedures_once():
    """I4 adds the services of both; I2 and I3 take the procedure once, at its highest level; others are omitted."""
    entries = [
        an_entry("H03", "1", "toan_trinh"),
        an_entry("H55", "1", "mot_phan"),
        an_entry("H55", "2", "mot_phan"),
        an_entry("H17", "1", "toan_trinh"),
    ]
    found = figures(entries, units={"H03": "H55", "H55": "H55"}, submitted={("H55", "1")}, submitted_online={("H55", "1")})
    supply = found.units["H55"]
    assert supply.i4 == Ratio(1, 3)
    assert (supply.i2a, supply.i2b, supply.i3) == (Ratio(1, 2), Ratio(1, 1), Ratio(2, 2))
    assert found.nation == supply
    assert figures(entries, units=lambda code: "X" if code == "H17" else None).units.keys() == {"X"}


def test_the_bulletin_of_thai_nguyen_comes_out():
    """261 online services, 152 of them with a dossier submitted online in 2018; 169 at level 4 of 1,756 procedures."""
    text = gzip.decompress((FOLDER / "02_thai_nguyen_catalogue.csv.gz").read_bytes()).decode()
    entries = [
        CatalogueEntry(
            row["agency_code"],
            row["procedure_code"],
            dt.date.fromisoformat(row["valid_from"]),
            legacy_level=int(row["legacy_level"]),
        )
        for row in csv.DictReader(text.splitlines())
    ]
    judged = [judge(events) for events in dossiers("02_thai_nguyen_2018.ndjson.gz", REGISTRY).values()]
    submitted = [
        (dossier.submitted.agency, dossier.submitted.procedure_code, dossier.online)
        for dossier in judged
        if isinstance(dossier, Dossier) and civil_day(dossier.submitted.occurred_at).year == 2018
    ]
    found = procedures_of(
        Catalogue(entries),
        day=dt.date(2018, 12, 31),
        registry=REGISTRY,
        submitted={(agency, procedure) for agency, procedure, _ in submitted},
        submitted_online={(agency, procedure) for agency, procedure, online in submitted if online},
    )
    [expected] = [check for check in EXPECTED["checks"] if check["indicator"] == "I4"]
    assert found.units["H55"].i4 == Ratio(expected["numerator"], expected["denominator"]) == Ratio(152, 261)
    assert (found.nation.i2a, found.nation.i3) == (Ratio(169, 1_756), Ratio(261, 1_756))


KEYS = st.sets(st.tuples(st.sampled_from(["H55", "H03", "G17", "G04"]), st.sampled_from(["1.000001", "1.000002", "2.000003"])))
DAYS = st.sampled_from([dt.date(2018, 2, 1), dt.date(2018, 3, 1), BEFORE, AFTER])
MAPS = st.fixed_dictionaries({code: st.sampled_from(["H55", "H03", "G17"]) for code in ("H55", "H03", "G17")})


@given(catalogues(ENTRIES), DAYS, KEYS, KEYS, MAPS)
def test_services_add_up_and_procedures_do_not(entries, day, submitted, online, units):
    """I4 of a map, the blocks and the nation is the sum of the units; a procedure counts at most as often as it is offered."""
    catalogue = Catalogue(entries)
    plain = procedures_of(catalogue, day=day, registry=REGISTRY, submitted=submitted | online, submitted_online=online)
    mapped = procedures_of(
        catalogue, day=day, registry=REGISTRY, units=units, submitted=submitted | online, submitted_online=online
    )
    for found in (plain, mapped):
        for parts in (found.units, found.blocks):
            assert sum((each.i4 for each in parts.values()), Ratio(0, 0)) == found.nation.i4
        for name in ("i2a", "i2b", "i2c", "i3"):
            sizes = [getattr(each, name).denominator for each in found.units.values()]
            assert max(sizes, default=0) <= getattr(found.nation, name).denominator <= sum(sizes)
        for each in (*found.units.values(), *found.blocks.values(), found.nation):
            assert all(getattr(each, name).numerator <= getattr(each, name).denominator for name in each.__slots__)
            assert each.i2a.numerator <= each.i3.numerator
            assert each.i2a.denominator == each.i3.denominator >= max(each.i2b.denominator, each.i2c.denominator)
    assert (mapped.nation, mapped.blocks["ministry"]) == (plain.nation, plain.blocks["ministry"])


@given(catalogues(ENTRIES), KEYS, st.sampled_from([dt.date(2018, 2, 1), dt.date(2018, 3, 1)]))
def test_the_figures_are_those_of_a_plain_count(entries, online, day):
    """Without merger or map: counted by looking at every procedure of a unit."""
    catalogue = Catalogue(entries)
    found = procedures_of(catalogue, day=day, registry=REGISTRY, submitted=online, submitted_online=online)
    for unit, supply in found.units.items():
        mine = [entry for entry in entries if entry.agency == unit and entry.in_force(day)]
        asked = [entry for entry in mine if entry.service in online]
        assert supply.i2a == Ratio(sum(map(is_full, mine)), len(mine))
        assert supply.i2b == Ratio(sum(map(is_full, asked)), len(asked))
        assert supply.i2c == Ratio(sum(is_full(e) for e in mine if e.eligible), sum(e.eligible is True for e in mine))
        assert supply.i3 == Ratio(sum(map(is_online, mine)), len(mine))
        assert supply.i4 == Ratio(sum(map(is_online, asked)), sum(map(is_online, mine)))
