"""A batch that failed is explained with what to do."""

from __future__ import annotations

import pytest
from aiokafka import errors as kafka_errors

from pipeline.settings import KafkaSettings
from producers.sending.refusals import TooLarge, error_of, failure_reason

LARGE = TooLarge(3, b"H26-1", 150_000)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, ""),
        (error_of(29), "grant WRITE on the topic"),
        (error_of(3), "the topic t is not there any more"),
        (error_of(87), "cleanup.policy=compact every message needs a key"),
        (error_of(10), "key 'H26-1' has 150,000 bytes, more than the topic t takes (100,000 bytes): raise its max.message.bytes"),
        (error_of(18), "key 'H26-1' has 150,000 bytes"),
        (kafka_errors.RequestTimedOutError(), "RequestTimedOutError"),
    ],
)
def test_a_failure_says_what_to_do(error, words):
    """Missing rights, deleted topics, refused records and large messages are named; other errors by their name."""
    reason = failure_reason(error, topic="t", security=KafkaSettings(), too_large=LARGE, limit=100_000)
    assert words in reason
    assert bool(reason) == (error is not None)
