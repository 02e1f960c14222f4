"""How many examples a property tries: some in `make test`, all of them in `make test-long`, more when exploring."""

from __future__ import annotations

from hypothesis import settings

#: The fast run tries this share of a property's examples, and at least this many (or all, where there are fewer).
_FAST_SHARE, _MIN_FAST = 8, 25
_EXPLORING = 10


def examples(number: int, *, fast: int | None = None) -> int:
    """The examples of a property that has so many in the long run, by the profile in force when its module is imported.

    ``fast``: those of the fast run, where each example takes long; None: an eighth, and at least ``_MIN_FAST``.
    """
    profile = settings.get_current_profile_name()
    if profile == "gate" and fast is not None:
        return fast
    if profile == "gate":
        return max(number // _FAST_SHARE, min(number, _MIN_FAST))
    return _EXPLORING * number if profile == "explore" else number
