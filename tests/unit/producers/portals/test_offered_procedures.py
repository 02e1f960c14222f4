"""The catalogue of 2024 gives the printed I2 and I3 with the dossiers of its scenario."""

from __future__ import annotations

import pytest

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue
from domain.errors import ConfigurationError
from domain.supply import procedures_of
from producers.portals.documents import load_document
from producers.portals.dossier_faults import FaultShares
from producers.portals.offered_procedures import offered_procedures
from producers.portals.scenarios import load_scenario
from producers.portals.schedule import day_number
from producers.portals.simulate import ScenarioStream

REGISTRY = AgencyRegistry.packaged()


def submitted(stream, period):
    """(unit, procedure) of every dossier submitted in a period, as the portals know it; how many have each."""
    first, last = day_number(period.start), day_number(period.end)
    found = {}
    for portal, ledger in zip(stream.portals, stream.ledgers, strict=True):
        for row, (step, procedure) in enumerate(
            zip(ledger.steps["submitted"].tolist(), portal.plan.procedure.tolist(), strict=True)
        ):
            if first <= ledger.days[row, step] <= last:
                service = ledger.codes[ledger.units[row, step]], portal.procedures[procedure]
                found[service] = found.get(service, 0) + 1
    return found


@pytest.mark.parametrize(
    ("seed", "shares"), [(1, FaultShares.realistic()), pytest.param(2, FaultShares.regular(), marks=pytest.mark.long)]
)
def test_the_printed_shares_of_procedures_come_out(seed, shares):
    """I2a of the named units, I2b and I3 of the nation are those of the document; nearly all dossiers are of its services."""
    document = load_document("emc-2024")
    stream = ScenarioStream(load_scenario("emc-2024"), seed=seed, shares=shares)
    period = document.periods[0].period
    catalogue = Catalogue(offered_procedures(document, stream, seed=seed, registry=REGISTRY))
    dossiers = submitted(stream, period)
    figures = procedures_of(catalogue, day=period.end, registry=REGISTRY, submitted=dossiers)
    facts = [fact for indicator in ("I2a", "I2b", "I3") for fact in document.facts_of(indicator)]
    assert len(facts) == 22
    for fact in facts:
        ratio = (figures.units[fact.code] if fact.code else figures.nation).ratio(fact.indicator)
        assert (ratio.numerator, ratio.denominator) == (fact.num, fact.den), fact
    assert figures.units.keys() == {unit.code for unit in stream.scenario.units}
    known = {entry.service for entry in catalogue.in_force(period.end)}
    assert sum(number for service, number in dossiers.items() if service in known) > 0.9 * sum(dossiers.values())


def test_too_few_procedures_are_said():
    """Dossiers of a few agencies cannot have 2,000 procedures, and the error says how many they have."""
    from dataclasses import replace

    scenario = load_scenario("emc-2024")
    few = ScenarioStream(replace(scenario, units=scenario.units[:5]), seed=1)
    with pytest.raises(ConfigurationError, match="procedures, not 2000"):
        list(offered_procedures(load_document("emc-2024"), few, seed=1, registry=REGISTRY))
