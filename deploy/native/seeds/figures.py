"""Every figure of a document beside the one that the product counts, and the verdict on each. Pure.

A printed percentage is right when both counts are exactly the expected ones and the product prints the same text with the
decimals and the rounding of the document. A bound ("almost", "over") is held by an exact count, too. A contradiction of the
document with itself cannot be right; it is listed with its reason.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from deploy.native.seeds.answers import NATION, Answers
from deploy.native.seeds.formulas import evaluate, shown, whole
from domain.agencies import BLOCKS
from domain.indicators import Ratio
from domain.periods import Period
from domain.rounding import percent, vietnamese
from producers.portals.documents import Claim, Count, Document, Fact

_SCOPES = {NATION: "toàn quốc", BLOCKS[0]: "khối bộ, ngành", BLOCKS[1]: "khối địa phương"}
_NONE = "—"


class Verdict(enum.Enum):
    """The verdict on a figure."""

    RIGHT = "right"
    HOLDS = "holds"  # a bound
    WRONG = "wrong"
    CONTRADICTION = "contradiction"
    OPEN = "open"  # a bound that no count can hold or break

    @property
    def failed(self) -> bool:
        """Whether a figure that can be right is wrong."""
        return self is Verdict.WRONG


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the comparison.

    Attributes:
        printed: the words of the document; empty when the document prints only numbers that follow from this figure.
        definition: what the figure is.
        counted: the whole numbers that the product counted.
        ours: the text that the product prints.
        verdict: the verdict on the figure.
        reason: why, or what was expected; empty when the figure is right.
        listed: whether the line is shown although it is right; invented counts are not.
    """

    printed: str
    definition: str
    counted: str
    ours: str
    verdict: Verdict
    reason: str = ""
    listed: bool = True


def compare(document: Document, answers: Answers) -> tuple[Figure, ...]:
    """Every figure, count, bound and contradiction of a document, in its order.

    Raises:
        ConfigurationError: a formula of the document is wrong.
    """
    return (
        *(_fact(document, fact, answers) for fact in document.facts),
        *(_count(count, answers) for count in document.counts),
        *_claims(document.claims, answers),
    )


def passed(figures: Sequence[Figure]) -> bool:
    """Whether there are figures, and every figure that can be right is right."""
    return bool(figures) and not any(figure.verdict.failed for figure in figures)


def _fact(document: Document, fact: Fact, answers: Answers) -> Figure:
    expected = Ratio(fact.num, fact.den)
    found = answers.ratio(fact.indicator, fact.period, fact.code or fact.scope, fact.units)
    ours = None if found is None else _percent(document, fact, found)
    right = found == expected and (fact.printed is None or ours == fact.printed.value)
    verdict, reason = (Verdict.RIGHT, "") if right else (Verdict.WRONG, f"expected {_ratio(expected)}")
    if fact.printed is not None and not right:
        reason += f", printed {vietnamese(fact.printed.value)}%"
    if fact.bound is not None:
        verdict, reason = _bound(fact, found, exact=right)
    text = fact.printed.text if fact.printed is not None else fact.bound.text if fact.bound is not None else ""
    return Figure(
        printed=text,
        definition=_definition(document, fact),
        counted=_ratio(found),
        ours=_NONE if ours is None else f"{vietnamese(ours)}%",
        verdict=verdict,
        reason=reason,
        listed=fact.origin != "invented",
    )


def _percent(document: Document, fact: Fact, found: Ratio) -> str | None:
    """A ratio as the document prints it, or as the product prints it where the document does not."""
    if fact.printed is None:
        return percent(found)
    return percent(found, decimals=fact.printed.decimals, rounding=document.rounding_mode)


def _bound(fact: Fact, found: Ratio | None, *, exact: bool) -> tuple[Verdict, str]:
    assert fact.bound is not None
    if not exact or found is None:
        return Verdict.WRONG, f"expected {_ratio(Ratio(fact.num, fact.den))}"
    rate, limit = Fraction(100 * found.numerator, found.denominator), Fraction(fact.bound.value)
    holds = rate > limit if fact.bound.op == "gt" else rate < limit
    limits = f"{'above' if fact.bound.op == 'gt' else 'below'} {vietnamese(fact.bound.value)}%"
    return (Verdict.HOLDS, limits) if holds else (Verdict.WRONG, f"not {limits}")


def _count(count: Count, answers: Answers) -> Figure:
    value = evaluate(count.formula, answers)
    right = value.number == count.value
    return Figure(
        count.text,
        count.name,
        value.shown,
        shown(value.number),
        Verdict.RIGHT if right else Verdict.WRONG,
        "" if right else f"expected {whole(count.value)}",
    )


def _claims(claims: Sequence[Claim], answers: Answers) -> Iterator[Figure]:
    """The bounds and contradictions among the claims; context and boilerplate are numbers, but no figures."""
    for claim in claims:
        if claim.reason == "contradiction":
            yield Figure(claim.text, "contradicts the document itself", _NONE, _NONE, Verdict.CONTRADICTION, claim.note)
        elif claim.reason == "bound" and claim.check is None:
            yield Figure(claim.text, "a bound that is not exact", _NONE, _NONE, Verdict.OPEN, claim.note)
        elif claim.reason == "bound":
            assert claim.check is not None
            value, limit = evaluate(claim.check.formula, answers), claim.check.value
            holds = value.number is not None and (value.number > limit if claim.check.op == "gt" else value.number < limit)
            definition = f"{claim.check.name}: {'above' if claim.check.op == 'gt' else 'below'} {whole(limit)}"
            verdict = Verdict.HOLDS if holds else Verdict.WRONG
            yield Figure(claim.text, definition, value.shown, shown(value.number), verdict, claim.note)


def others(document: Document) -> int:
    """How many numbers of the document are not figures: dates, levels, addresses, numbers of other articles."""
    return sum(claim.reason in {"context", "boilerplate"} for claim in document.claims)


def _definition(document: Document, fact: Fact) -> str:
    where = f"{fact.name} ({fact.code})" if fact.code else _SCOPES[fact.scope]
    when = f", {_days(document.period(fact.period))}" if len(document.periods) > 1 else ""
    return f"{fact.indicator} {where}{when}" + (f", by the units of {fact.units}" if fact.units else "")


def _days(period: Period) -> str:
    return f"{period.start:%d/%m/%Y} to {period.end:%d/%m/%Y}"


def _ratio(ratio: Ratio | None) -> str:
    return _NONE if ratio is None else f"{whole(ratio.numerator)}/{whole(ratio.denominator)}"
