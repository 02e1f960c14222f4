"""The comparison of documents with the product's answers: only a figure that can be right and is not fails it."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from deploy.native import commands
from deploy.native.seeds import run
from deploy.native.seeds.answers import Answers, Change, Key
from deploy.native.seeds.figures import Verdict, compare, others, passed
from deploy.native.seeds.formulas import evaluate
from deploy.native.seeds.tables import summary, table_of
from domain.errors import ConfigurationError
from domain.indicators import Ratio
from pipeline.cli.main import create_cli
from producers.portals.documents import available_scenarios, load_document

NAMES = available_scenarios()


def right_answers(document):
    """What a product answers whose every count is the expected one."""
    answers = Answers()
    for fact in document.facts:
        answers.ratios[Key(fact.indicator, fact.period, fact.code or fact.scope, fact.units)] = Ratio(fact.num, fact.den)
    if len(document.periods) == 2 and document.identifier == "services-2020":
        before, after = (each.id for each in document.periods)
        answers.changes["I4", after, before, "nation"] = Change(Fraction(12), Fraction(100))
    if document.subunits:
        answers.services["year-2018", "H55"] = {"cung_cap_thong_tin": 1_495, "mot_phan": 180, "toan_trinh": 81}
        answers.sub_units["H55"] = {
            unit.code: Ratio(unit.online_l4, unit.online_l3 + unit.online_l4) for unit in document.subunits
        }
    return answers


def shown(renderable):
    """What a console of 200 columns shows."""
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.fixture(params=NAMES)
def document(request):
    """Each document."""
    return load_document(request.param)


def test_the_expected_counts_give_every_printed_figure(document):
    """With the counts of its profile each document passes, and each percentage is printed as the document prints it."""
    figures = compare(document, right_answers(document))
    assert [figure for figure in figures if figure.verdict.failed] == []
    assert passed(figures)
    for fact, figure in zip(document.facts, figures, strict=False):
        if fact.printed is not None:
            assert figure.ours.removesuffix("%") in figure.printed


@pytest.mark.parametrize("change", [1, -1])
def test_one_dossier_or_service_too_many_or_too_few_fails(document, change):
    """A rate that still prints as it should is not enough: every count must be exact, also those that are not printed."""
    for fact in document.facts:
        answers = right_answers(document)
        key = Key(fact.indicator, fact.period, fact.code or fact.scope, fact.units)
        answers.ratios[key] = Ratio(fact.num, fact.den + change)
        figures = compare(document, answers)
        assert not passed(figures), fact
        (wrong,) = [figure for figure in figures[: len(document.facts)] if figure.verdict.failed]
        assert f"expected {wrong.reason.split()[1]}" in wrong.reason


def test_a_figure_that_the_product_does_not_have_fails(document):
    """No answer is not agreement."""
    assert not passed(compare(document, Answers()))
    assert not passed(())


def test_a_printed_text_that_the_counts_do_not_give_fails():
    """Exact counts do not pass when the document prints another percentage; the table and the summary name it."""
    document = load_document("services-2019")
    fact = document.facts[0]
    printed = msgspec.structs.replace(fact.printed, value="8.27", text="8,27%")
    wrong = msgspec.structs.replace(document, facts=(msgspec.structs.replace(fact, printed=printed), *document.facts[1:]))
    figures = compare(wrong, right_answers(document))
    assert [figure.printed for figure in figures if figure.verdict.failed] == ["8,27%"]
    text = shown(summary([(wrong, figures)], seconds=1))
    assert "Failed" in text
    assert "✗ services-2019: 8,27%: 3.480/42.127 = 8,26%, expected 3.480/42.127, printed 8,27%" in text
    assert "✗" in shown(table_of(wrong, figures))


def test_rounding_is_that_of_the_document():
    """The ministries' 380 of 1,709 are printed cut, as the document does; half-up would print another figure."""
    document = load_document("services-2019")
    cut = {figure.printed: figure.ours for figure in compare(document, right_answers(document))}
    assert cut["22,23%"] == "22,23%"
    other = msgspec.structs.replace(document, rounding=msgspec.structs.replace(document.rounding, mode="HU"))
    assert [figure.ours for figure in compare(other, right_answers(document)) if figure.verdict.failed] == ["22,24%"]


def test_bounds_hold_or_fail_and_contradictions_never_do():
    """A bound is held by an exact count; "up to 69 %" contradicts the document, is listed with its reason and fails nothing."""
    document = load_document("emc-2024")
    answers = right_answers(document)
    figures = compare(document, answers)
    assert [figure.printed for figure in figures if figure.verdict is Verdict.HOLDS] == [
        *["trên 90%"] * 3, *["trên 80%"] * 3, *["trên 70%"] * 3, "dưới 5%",
    ]  # fmt: skip
    (contradiction,) = [figure for figure in figures if figure.verdict is Verdict.CONTRADICTION]
    assert contradiction.printed == "lên tới 69%"
    assert "64,94" in contradiction.reason
    assert "“lên tới 69%” is not compared: 'some localities reach 69 %'" in shown(summary([(document, figures)], seconds=1))
    facts = tuple(
        msgspec.structs.replace(fact, num=1_440) if (fact.indicator, fact.code) == ("I2a", "H17") else fact
        for fact in document.facts
    )
    lower = msgspec.structs.replace(document, facts=facts)
    (failed,) = [figure for figure in compare(lower, right_answers(lower)) if figure.verdict.failed]
    assert (failed.printed, failed.ours, failed.reason) == ("trên 90%", "90,00%", "not above 90%")


def test_almost_is_checked():
    """The bound "almost 1,300" more services holds for 1,291, not for 1,300."""
    document = load_document("services-2019")
    answers = right_answers(document)
    (almost,) = [figure for figure in compare(document, answers) if figure.printed == "gần 1.300"]
    assert (almost.verdict, almost.ours, almost.counted) == (Verdict.HOLDS, "1.291", "45.127 - 43.836")
    answers.ratios[Key("I4", "2019-Q2", "nation")] = Ratio(7_081, 45_136)
    (almost,) = [figure for figure in compare(document, answers) if figure.printed == "gần 1.300"]
    assert almost.verdict is Verdict.WRONG


def test_the_units_of_a_later_day_sum_counts():
    """Đà Nẵng and TP.HCM by the units of 2025-07-01 have summed counts; the nation has the same counts in every view."""
    document = load_document("emc-2024")
    figures = [figure for figure in compare(document, right_answers(document)) if "by the units of" in figure.definition]
    found = {figure.definition.split(",")[0]: (figure.counted, figure.ours) for figure in figures}
    assert found["I1 Đà Nẵng (H17)"] == ("3.285/5.540", "59,29%")
    assert found["I1 Thành phố Hồ Chí Minh (H29)"] == ("704/5.095", "13,81%")
    nation = [figure.counted for figure in figures if "toàn quốc" in figure.definition]
    assert nation == ["43.000/100.000"] * 3


def test_a_sub_unit_with_level_4_is_not_counted_as_one_without():
    """Sub-units without an online dossier of level 4 are those with online dossiers and none of level 4."""
    document = load_document("thai-nguyen-2018")
    answers = right_answers(document)
    assert evaluate("without_level_4('H55')", answers) == (2, "000.00.98.H55, 000.00.99.H55 of 10")
    answers.sub_units["H55"] = {"000.00.98.H55": Ratio(1, 60), "000.00.97.H55": Ratio(0, 0)}
    assert evaluate("without_level_4('H55')", answers).number == 0
    assert not passed(compare(document, answers))


def test_invented_counts_are_listed_only_when_they_are_wrong():
    """The table shows what is printed and what follows from it; 76 invented agencies are one sentence until one is wrong."""
    document = load_document("emc-2024")
    answers = right_answers(document)
    text = shown(table_of(document, compare(document, answers)))
    assert "64,94%" in text
    assert "An Giang" not in text
    assert f"{sum(fact.origin == 'invented' for fact in document.facts)} invented counts" in text
    answers.ratios[Key("I1", "2024-ytd", "H01")] = Ratio(11, 670)
    assert "An Giang" in shown(table_of(document, compare(document, answers)))
    assert others(document) == 1


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os')",
        "num('I4')",
        "num('I4', '2019-Q1', 'nation').numerator",
        "num('I4', '2019-Q1', scope='nation')",
        "num('I4', '2019-Q1', num)",
        "1 + 1",
        "2 ** 9999999",
        "'text'",
        "True",
        "-",
    ],
)
def test_a_formula_is_arithmetic_and_nothing_else(formula):
    """Whatever is not a number, a difference, a quotient or a known call is refused."""
    with pytest.raises(ConfigurationError, match="is not a formula"):
        evaluate(formula, Answers())


@pytest.mark.parametrize(
    "formula", ["num('I4', 'x', 'nation') - 1", "rate('I4', 'x', 'nation') / 2", "services('x', 'H55', 'level_3_4')"]
)
def test_a_formula_without_an_answer_has_no_value(formula):
    """What the product does not have is not a number, also in arithmetic."""
    assert evaluate(formula, Answers()).number is None


def test_a_report_is_read_by_scope():
    """The rows of a report over HTTP become figures of units, blocks and the nation; changes are those that it prints."""
    figure = {"numerator": 24, "denominator": 100, "change_points": "+12.00", "change_percent": "+100.00"}
    answers = Answers()
    answers.add_report("b", [{"code": code, "indicators": {"I4": figure}} for code in ("VN", "province", "H17")], before="a")
    assert answers.ratio("I4", "b", "nation") == answers.ratio("I4", "b", "province") == answers.ratio("I4", "b", "H17")
    assert evaluate("points('I4','b','a','nation')", answers).number == 12
    assert evaluate("percent('I4','b','a','nation')", answers).number == 100
    assert evaluate("count('I4','b','province')", answers).number == 1


@pytest.mark.parametrize(("wrong", "status"), [(False, 0), (True, 1)])
def test_the_status_tells_whether_every_figure_is_right(monkeypatch, tmp_path, wrong, status):
    """The command ends with 0 when every figure that can be right is right, and with 1 when one of one document is not."""

    def answers_of(name, document, *_, **__):
        answers = right_answers(document)
        if wrong and name == "services-2019":
            answers.ratios[Key("I4", "2019-Q1", "ministry")] = Ratio(381, 1_709)
        return answers

    monkeypatch.setattr(run, "answers_of", answers_of)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(create_cli(), ["seeds"])
    assert result.exit_code == status, result.output
    assert ("Failed" if wrong else "Passed") in result.output
    assert result.output.count("contradiction") >= 1


def test_only_the_named_documents_run(monkeypatch, tmp_path):
    """``--scenario`` chooses; one that does not exist is refused with the names of those that do, before anything starts."""
    asked = []
    monkeypatch.setattr(run, "answers_of", lambda name, document, *_, **__: asked.append(name) or right_answers(document))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(create_cli(), ["seeds", "--scenario", "thai-nguyen-2018"]).exit_code == 0
    assert asked == ["thai-nguyen-2018"]
    with pytest.raises(ConfigurationError, match="emc-2024, services-2019"):
        CliRunner().invoke(create_cli(), ["seeds", "--scenario", "emc-2025"], catch_exceptions=False)
    assert commands.INTERRUPTED == 130
