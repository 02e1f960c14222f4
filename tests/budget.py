"""How many examples a property tries: a quarter in `make test`, all of them in `make test-long`, more when exploring."""

from __future__ import annotations

from hypothesis import settings

#: The fast run tries this share of a property's examples, and at least this many (or all, where there are fewer).
_FAST_SHARE, _MIN_FAST = 4, 50
_EXPLORING = 10


def examples(number: int) -> int:
    """The examples of a property that has so many in the long run, by the profile in force when its module is imported."""
    profile = settings.get_current_profile_name()
    if profile == "gate":
        return max(number // _FAST_SHARE, min(number, _MIN_FAST))
    return _EXPLORING * number if profile == "explore" else number
