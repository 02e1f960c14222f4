"""What moved a rate between two periods: the contribution of each group, which sum exactly to the change.

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
    """The contribution of each group, the largest in size first; none when either period has no data.

    A group contributes by its own rate and by its share of the whole. With n, d of the group, N, D of the whole and r = N0 / D0:
    (n1 - r d1) / D1 - (n0 - r d0) / D0. These sum to N1 / D1 - N0 / D0.

    Args:
        before: group -> its counts in the earlier period.
        after: group -> its counts in the later period.
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
