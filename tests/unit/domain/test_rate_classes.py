"""Which limit a rate must reach for the next class."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.indicators import Ratio
from domain.rate_classes import RateClass, class_of, next_limit

UNFINISHED = {RateClass.ZERO, RateClass.BELOW_5, RateClass.BELOW_10, RateClass.BELOW_TARGET}


@given(st.integers(0, 400), st.integers(1, 400), st.none() | st.fractions(Fraction(10, 100), 1))
def test_a_rate_at_the_next_limit_is_in_a_higher_class(numerator, denominator, target):
    """Below it the class stays; at it the class is another one. Only a rate that misses something has a next limit."""
    ratio = Ratio(numerator, denominator)
    name = class_of(ratio, target)
    limit = next_limit(name, target)
    assert (limit is not None) == (name in UNFINISHED)
    if limit is not None:
        assert Fraction(numerator, denominator) < limit
        assert class_of(Ratio(limit.numerator, limit.denominator), target) != name
