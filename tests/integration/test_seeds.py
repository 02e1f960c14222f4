"""``portalpulse seeds`` with real Kafka, worker and ClickHouse."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from rich.console import Console

from deploy.native.programs import PROJECT
from deploy.native.seeds.figures import compare, passed
from deploy.native.seeds.run import Place, answers_of
from domain.indicators import Ratio
from producers.portals.documents import load_document

SMALLEST = "thai-nguyen-2018"
#: Generous: on a machine of its own all documents take a few minutes.
ALL_SECONDS = 900


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the running product answers about the smallest document."""
    place = Place(tmp_path_factory.mktemp("seeds"), topic="dvc.dossier-events.v1", group="portalpulse")
    return answers_of(SMALLEST, load_document(SMALLEST), place.options(SMALLEST), console=Console(quiet=True))


@pytest.mark.timeout(300)
def test_every_figure_of_a_document_comes_out(answers):
    """Dossiers, services and sub-units of a document, sent with the faults of real portals, count to its figures."""
    document = load_document(SMALLEST)
    figures = compare(document, answers)
    assert [figure for figure in figures if figure.verdict.failed] == []
    assert passed(figures)
    assert answers.ratio("I5", "year-2018", "H55") == Ratio(3_500, 33_680)
    assert answers.sub_units["H55"] == {
        unit.code: Ratio(unit.online_l4, unit.online_l3 + unit.online_l4) for unit in document.subunits
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda document: {"facts": (msgspec.structs.replace(document.facts[0], num=3_501), *document.facts[1:])},
        lambda document: {"counts": (msgspec.structs.replace(document.counts[2], value=153), *document.counts)},
    ],
    ids=["one dossier more", "one service more"],
)
def test_a_wrong_figure_of_a_document_fails(answers, change):
    """A document that prints another number than its portals sent does not pass."""
    document = load_document(SMALLEST)
    wrong = msgspec.structs.replace(document, **change(document))
    figures = compare(wrong, answers)
    assert [figure.verdict.failed for figure in figures].count(True) == 1
    assert not passed(figures)


@pytest.mark.long
@pytest.mark.timeout(ALL_SECONDS + 60)
def test_every_document_passes_with_status_0(tmp_path):
    """Every figure of all documents that can be right is right, and the contradiction is named with its reason."""
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "seeds", "--data", tmp_path / "seeds"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=ALL_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Passed" in ran.stdout
    assert "✗" not in ran.stdout
    assert "“lên tới 69%” is not compared" in ran.stdout
