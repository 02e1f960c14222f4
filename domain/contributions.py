"""What moved a rate between two periods: the contribution of each group. The contributions sum exactly to the change.

Source of the formula: docs/domain.md, "Contributions".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from domain.indicators import Ratio


@dataclass(frozen=True, slots=True)
class Contribution:
    """A group and how much of the change of the rate it explains (a fraction, not percent)."""

    group: str
    before: Ratio
    after: Ratio
    change: Fraction


def contributions(before: Mapping[str, Ratio], after: Mapping[str, Ratio]) -> tuple[Contribution, ...]:
    """The contribution of each group, the largest absolute value first; empty when one of the periods has no data.

    A group contributes by its own rate and by its share of the whole. n, d: numerator and denominator of the group; N, D: those
    of all groups; 0, 1: earlier, later period; r = N0 / D0. The contribution is (n1 - r d1) / D1 - (n0 - r d0) / D0.
    The contributions sum to N1 / D1 - N0 / D0.

    Args:
        before: group -> its numerator and denominator in the earlier period.
        after: group -> its numerator and denominator in the later period.
    """
    nothing = Ratio(0, 0)
    whole_before, whole_after = sum(before.values(), nothing), sum(after.values(), nothing)
    if whole_before.no_data or whole_after.no_data:
        return ()
    rate = Fraction(whole_before.numerator, whole_before.denominator)
    found = []
    for group in {*before, *after}:
        earlier, later = before.get(group, nothing), after.get(group, nothing)
        change = (later.numerator - rate * later.denominator) / whole_after.denominator
        change -= (earlier.numerator - rate * earlier.denominator) / whole_before.denominator
        found.append(Contribution(group, earlier, later, change))
    return tuple(sorted(found, key=lambda each: (-abs(each.change), each.group)))
