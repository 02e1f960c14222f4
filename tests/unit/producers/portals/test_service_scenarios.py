"""Scenarios of submitted dossiers: the rules of the product count exactly the figures of their documents."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, is_online, services_by_level
from domain.dossiers import judge
from domain.errors import ConfigurationError
from domain.events import DossierEvent, ServiceLevel
from domain.periods import Period, civil_day
from domain.supply import procedures_of
from pipeline.decode.validator import EventValidator
from producers.portals.catalogue import rng_of
from producers.portals.documents import load_document, read_document
from producers.portals.dossier_faults import DossierFault, FaultShares
from producers.portals.scenarios import Share, load_scenario
from producers.portals.schedule import day_number
from producers.portals.service_scenarios import service_scenario_of
from producers.portals.service_stock import service_stock
from producers.portals.truth import Truth

REGISTRY = AgencyRegistry.packaged()
LATEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MANY = FaultShares(dict.fromkeys(DossierFault, 0.3))


def scenario_named(name):
    """A packaged scenario."""
    return service_scenario_of(load_document(name), name=name, registry=REGISTRY)


def submitted_online(stream, period):
    """(agency, procedure) with a dossier submitted online in a period, as the portals know it."""
    first, last = day_number(period.start), day_number(period.end)
    found = set()
    for portal, ledger in zip(stream.portals, stream.ledgers, strict=True):
        rows = np.arange(len(portal.plan))
        step = ledger.steps["submitted"]
        day = ledger.days[rows, step]
        chosen = (first <= day) & (day <= last) & ledger.online
        found |= {(portal.agency, portal.procedures[number]) for number in np.unique(portal.plan.procedure[chosen]).tolist()}
    return found


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("services-2020", 1),
        ("thai-nguyen-2018", 1),
        pytest.param("services-2019", 1, marks=pytest.mark.long),
        pytest.param("thai-nguyen-2018", 2, marks=pytest.mark.long),
    ],
)
def test_services_with_dossiers_are_those_of_the_document(name, seed):
    """I4 of every period is the document's, for units, blocks and the nation, whatever the faults of the portals."""
    document, scenario = load_document(name), scenario_named(name)
    catalogue = Catalogue(scenario.catalogue(seed=seed))
    stream = scenario.stream(seed=seed, shares=MANY)
    for each in document.periods:
        online = submitted_online(stream, each.period)
        figures = procedures_of(catalogue, day=each.end, registry=REGISTRY, submitted_online=online)
        found = {**figures.units, **figures.blocks, "nation": figures.nation}
        facts = [fact for fact in document.facts_of("I4") if fact.period == each.id]
        assert facts
        for fact in facts:
            ratio = found[fact.code or fact.scope].i4
            assert (ratio.numerator, ratio.denominator) == (fact.num, fact.den), fact


@pytest.mark.long
@pytest.mark.parametrize("name", ["services-2019", "services-2020"])
def test_a_wrong_base_or_day_gives_other_figures(name):
    """Dossiers for services that are not online and dossiers on the days beside a period exist, so that a mistake shows."""
    scenario = scenario_named(name)
    catalogue, stream = Catalogue(scenario.catalogue(seed=1)), scenario.stream(seed=1)
    first, last = scenario.periods[0], scenario.periods[-1]
    for period, wider in (
        (first, Period(first.start - dt.timedelta(days=1), first.end)),
        (last, Period(last.start, last.end + dt.timedelta(days=1))),
    ):
        online = {entry.service for entry in catalogue.in_force(period.end) if is_online(entry)}
        right = submitted_online(stream, period)
        assert len(right) > len(right & online)
        assert len(submitted_online(stream, wider) & online) > len(right & online)
        for day in (period.end - dt.timedelta(days=1), period.end + dt.timedelta(days=1)):
            assert {entry.service for entry in catalogue.in_force(day) if is_online(entry)} != online


def test_thai_nguyen_has_the_dossiers_of_its_document():
    """3.500 of 33.680 dossiers are submitted online in 2018, by the ledger of the portals."""
    stream = scenario_named("thai-nguyen-2018").stream(seed=1, shares=MANY)
    counts = Truth.of(stream, seed=1).of_units(dt.date(2018, 1, 1), dt.date(2018, 12, 31))["H55"]
    assert (counts["submitted_online"], counts["submitted"]) == (3_500, 33_680)


def test_the_rules_of_the_product_count_the_dossiers_of_each_receiving_unit():
    """A receiving unit has as many dossiers, online ones of level 3 and of level 4 as the document's split says."""
    document, stream = load_document("thai-nguyen-2018"), scenario_named("thai-nguyen-2018").stream(seed=1, shares=MANY)
    validator, messages = EventValidator(REGISTRY), {}
    chosen = {unit.code: unit for unit in document.subunits[-3:]}  # the smallest; two of them without level 4
    for message in stream:
        if message.key.decode().split("-")[0] in chosen:
            event = validator.validate(message.value, latest=LATEST)
            assert isinstance(event, DossierEvent), event
            messages.setdefault(event.dossier_code, []).append(event)
    period = document.periods[0].period
    found = {code: {"total": 0, ServiceLevel.PARTIAL: 0, ServiceLevel.FULL: 0} for code in chosen}
    for code, events in messages.items():
        dossier = judge(events)
        assert dossier.submitted.agency == "H55"
        if period.start <= civil_day(dossier.submitted.occurred_at) <= period.end:
            counts = found[code.split("-")[0]]
            counts["total"] += 1
            if dossier.online:
                counts[dossier.submitted.service_level] += 1
    assert found == {
        code: {"total": unit.total, ServiceLevel.PARTIAL: unit.online_l3, ServiceLevel.FULL: unit.online_l4}
        for code, unit in chosen.items()
    }


def test_the_catalogue_of_thai_nguyen_has_the_services_of_the_document():
    """Almost 1,500 services of levels 1 and 2 and over 260 of levels 3 and 4 are in force at the end of 2018."""
    catalogue = Catalogue(scenario_named("thai-nguyen-2018").catalogue(seed=1))
    found = services_by_level(catalogue.in_force(dt.date(2018, 12, 31)))
    assert found["cung_cap_thong_tin"] == 1_495
    assert found["mot_phan"] + found["toan_trinh"] == 261


def test_the_same_seed_gives_the_same_bytes():
    """A run can be repeated to the byte; another seed gives other events."""
    scenario = scenario_named("services-2019")
    small = replace(scenario, services={code: scenario.services[code] for code in ("G02", "H17")})
    first, again, other = (
        [message.value for message in small.stream(seed=seed, shares=FaultShares.realistic())] for seed in (1, 1, 2)
    )
    assert first == again
    assert not {value[13:49] for value in first} & {value[13:49] for value in other}


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    online=st.lists(st.integers(1, 400), min_size=1, max_size=3),
    information=st.integers(0, 50),
)
def test_any_stock_of_services_comes_out(seed, online, information):
    """Whatever grows or shrinks: on the last day of each period as many services are online as were asked for."""
    periods = [Period(dt.date(2019, 1 + 3 * number, 1), dt.date(2019, 3 + 3 * number, 30)) for number in range(len(online))]
    agency = REGISTRY.at("H17", periods[-1].end)
    stock = service_stock(rng_of(seed, "test"), agency, periods, online, information=information)
    catalogue = Catalogue(stock.entries)
    for period, wanted, services in zip(periods, online, stock.online, strict=True):
        found = {entry.procedure_code for entry in catalogue.in_force(period.end) if is_online(entry)}
        assert found == {stock.procedures[service] for service in services.tolist()}
        assert len(found) == wanted
    known = {entry.procedure_code for entry in stock.entries}
    assert not known & {stock.procedures[service] for service in stock.unknown.tolist()}


@pytest.mark.parametrize(
    ("name", "before", "after", "problem"),
    [
        ("services-2019", "scope: nation, num: 3860", "scope: nation, num: 3861", "add up to 3860 of 43836"),
        (
            "services-2019",
            "{indicator: I4, period: 2019-Q1, scope: ministry",
            "{indicator: I5, period: 2019-Q1, scope: ministry",
            "1 figures",
        ),
        ("services-2019", "block: province, units: 63", "block: province, units: 64", "63 units"),
        ("services-2019", "num: 3480, den: 42127", "num: 42128, den: 42127", "42128 of 42127"),
        ("services-2019", "start: 2019-01-01, end: 2019-03-31", "start: 2019-06-30, end: 2019-09-30", "order of time"),
        ("thai-nguyen-2018", "online_l4: 620", "online_l4: 621", "3501 of 33681"),
        ("thai-nguyen-2018", "indicator: I4", "indicator: I3", "no figures of I4"),
        ("thai-nguyen-2018", 'value: "10.3", decimals: 1', 'value: "10.3", decimals: 2', "10.3 has not 2 decimals"),
    ],
)
def test_a_contradiction_is_refused_and_named(name, before, after, problem):
    """A document that contradicts itself is a configuration error that says where."""
    text = resources.files("producers.portals").joinpath(f"profiles/{name}.yaml").read_text(encoding="utf-8")
    assert before in text
    with pytest.raises(ConfigurationError, match=problem):
        service_scenario_of(read_document(text.replace(before, after, 1), name=name), name=name, registry=REGISTRY)


def test_a_document_is_one_kind_of_scenario():
    """A document without figures of settled dossiers is not a scenario of them, and says so."""
    with pytest.raises(ConfigurationError, match="states no figures of I1"):
        load_scenario("services-2019")
    assert Share(152, 261) == scenario_named("thai-nguyen-2018").services["H55"][0]
