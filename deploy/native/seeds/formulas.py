"""The formulas of a document's counts: arithmetic over the answers of the product, and nothing else.

``den('I4','2019-Q2','province') - den('I4','2019-Q1','province')`` is a formula. Besides numbers, - and / it may call

    num, den, rate      (indicator, period, scope)          counts and exact rate of a figure; a rate is in percent
    points, percent     (indicator, period, before, scope)  the change that the report prints
    count, full         (indicator, period, block)          units of a block with data; those of them at 100 %
    below               (indicator, period, block, limit)   those of them below a percentage
    services            (period, unit, level_1_2 | level_3_4)  services of the catalogue on the last day
    without_level_4     (unit)                              sub-units with dossiers submitted online, none of them at level 4
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from fractions import Fraction
from typing import Final, NamedTuple

from deploy.native.seeds.answers import Answers
from domain.errors import ConfigurationError
from domain.rounding import decimal, vietnamese

_LEVELS: Final = {"level_1_2": ("cung_cap_thong_tin",), "level_3_4": ("mot_phan", "toan_trinh")}


class Value(NamedTuple):
    """The value of a formula, and the numbers from which it was computed. None: the product has no such figure."""

    number: Fraction | None
    shown: str


def evaluate(formula: str, answers: Answers) -> Value:
    """The value of a formula.

    Raises:
        ConfigurationError: the text is not a formula.
    """
    try:
        return _of(ast.parse(formula, mode="eval").body, answers, formula)
    except SyntaxError as error:
        raise _wrong(formula) from error


def _of(node: ast.expr, answers: Answers, formula: str) -> Value:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Value(Fraction(node.value), str(node.value))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div):
        left, right = _of(node.left, answers, formula), _of(node.right, answers, formula)
        sign = "-" if isinstance(node.op, ast.Sub) else ":"
        return Value(_combined(left.number, right.number, node.op), f"{left.shown} {sign} {right.shown}")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS and not node.keywords:
        arguments = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if len(arguments) == len(node.args):
            try:
                return _CALLS[node.func.id](answers, *arguments)
            except TypeError as error:  # too few or too many
                raise _wrong(formula) from error
    raise _wrong(formula)


def _combined(left: Fraction | None, right: Fraction | None, operator: ast.operator) -> Fraction | None:
    if left is None or right is None:
        return None
    if isinstance(operator, ast.Sub):
        return left - right
    return left / right if right else None


def _wrong(formula: str) -> ConfigurationError:
    return ConfigurationError(
        f"{formula!r} is not a formula.", remedy="The docstring of deploy/native/seeds/formulas.py has them."
    )


def whole(number: int) -> str:
    """A count in Vietnamese notation."""
    return vietnamese(str(number))


def shown(number: Fraction | None) -> str:
    """A value in Vietnamese notation, whole or with two decimals; "—" for none."""
    if number is None:
        return "—"
    return vietnamese(decimal(number, decimals=0 if number.denominator == 1 else 2))


def _count(number: int | None) -> Value:
    return Value(None, "—") if number is None else Value(Fraction(number), whole(number))


def _num(answers: Answers, indicator: str, period: str, scope: str) -> Value:
    ratio = answers.ratio(indicator, period, scope)
    return _count(None if ratio is None else ratio.numerator)


def _den(answers: Answers, indicator: str, period: str, scope: str) -> Value:
    ratio = answers.ratio(indicator, period, scope)
    return _count(None if ratio is None else ratio.denominator)


def _rate(answers: Answers, indicator: str, period: str, scope: str) -> Value:
    ratio = answers.ratio(indicator, period, scope)
    if ratio is None or ratio.no_data:
        return Value(None, "—")
    return Value(Fraction(100 * ratio.numerator, ratio.denominator), f"{whole(ratio.numerator)}/{whole(ratio.denominator)}")


def _points(answers: Answers, indicator: str, period: str, before: str, scope: str) -> Value:
    change = answers.changes.get((indicator, period, before, scope))
    return Value(None, "—") if change is None else Value(change.points, _difference(answers, indicator, period, before, scope))


def _percent(answers: Answers, indicator: str, period: str, before: str, scope: str) -> Value:
    change = answers.changes.get((indicator, period, before, scope))
    return Value(None, "—") if change is None else Value(change.percent, _difference(answers, indicator, period, before, scope))


def _difference(answers: Answers, indicator: str, period: str, before: str, scope: str) -> str:
    return f"{_rate(answers, indicator, before, scope).shown} → {_rate(answers, indicator, period, scope).shown}"


def _units(answers: Answers, indicator: str, period: str, block: str) -> Value:
    return _count(len(answers.of_block(indicator, period, block)))


def _full(answers: Answers, indicator: str, period: str, block: str) -> Value:
    return _count(sum(ratio.numerator == ratio.denominator for ratio in answers.of_block(indicator, period, block)))


def _below(answers: Answers, indicator: str, period: str, block: str, limit: int) -> Value:
    found = answers.of_block(indicator, period, block)
    return _count(sum(100 * ratio.numerator < limit * ratio.denominator for ratio in found))


def _services(answers: Answers, period: str, unit: str, levels: str) -> Value:
    counts = answers.services.get((period, unit))
    if counts is None or levels not in _LEVELS:
        return Value(None, "—")
    return _count(sum(counts[level] for level in _LEVELS[levels]))


def _without_level_4(answers: Answers, unit: str) -> Value:
    sub_units = answers.sub_units.get(unit)
    if not sub_units:
        return Value(None, "—")
    without = [code for code, ratio in sorted(sub_units.items()) if ratio.denominator and not ratio.numerator]
    return Value(Fraction(len(without)), f"{', '.join(without) or 'none'} of {len(sub_units)}")


_CALLS: Final[dict[str, Callable[..., Value]]] = {
    "num": _num,
    "den": _den,
    "rate": _rate,
    "points": _points,
    "percent": _percent,
    "count": _units,
    "full": _full,
    "below": _below,
    "services": _services,
    "without_level_4": _without_level_4,
}
