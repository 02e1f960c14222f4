"""How many requests a token or a peer may send."""

from __future__ import annotations

from pipeline.serving import rate_limits
from pipeline.serving.rate_limits import RateLimit


def test_a_bucket_fills_again_with_time():
    """So many at once, then as many as the rate allows; who waits as long as was said is served."""
    now = [0.0]
    limit = RateLimit(2.0, burst=3.0, monotonic=lambda: now[0])
    assert [limit.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert limit.take("b") == 0
    now[0] += 0.5
    assert [limit.take("a") for _ in range(2)] == [0, 0.5]
    now[0] += 100
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_rate_of_none_limits_nothing():
    """0 a second switches the limit off."""
    limit = RateLimit(0.0, burst=0.0, monotonic=lambda: 0.0)
    assert {limit.take("a") for _ in range(1_000)} == {0}


def test_memory_is_bounded(monkeypatch):
    """Of many peers the one that was not seen for the longest time is forgotten."""
    monkeypatch.setattr(rate_limits, "_KEPT", 2)
    limit = RateLimit(1.0, burst=1.0, monotonic=lambda: 0.0)
    assert [limit.take(key) for key in ("a", "b", "a", "c", "a", "b")] == [0, 0, 1, 0, 1, 0]
    assert len(limit._buckets) == 2
