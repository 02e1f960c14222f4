"""Errors of Kafka by their consequence."""

from __future__ import annotations

import inspect

import pytest
from aiokafka import errors
from confluent_kafka import KafkaError

from pipeline.kafka.errors import OF_AIOKAFKA, OF_LIBRDKAFKA, PASSING, STOPPING, code_of, passes, remedy

#: Every error that aiokafka can raise.
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.KafkaError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_aiokafka_has_one_consequence(kind):
    """An error with a code follows the table of codes, one without its class; whatever is in no table stops."""
    error = kind("x") if kind is not errors.ProducerFenced else kind()
    code = code_of(error)
    assert code == getattr(kind, "errno", None)
    assert passes(error) == (code in PASSING if code is not None else kind in OF_AIOKAFKA)
    assert remedy(error) == (STOPPING[code].remedy if code in STOPPING else "")


@pytest.mark.parametrize("code", sorted(PASSING))
def test_a_passing_code_passes_in_both_clients(code):
    """The same code means the same from aiokafka and from librdkafka."""
    assert passes(KafkaError(code))
    kind = errors.for_code(code)
    assert passes(kind("x")) or kind is errors.UnknownError  # aiokafka does not know the newest codes, and those stop


@pytest.mark.parametrize("code", sorted(STOPPING))
def test_a_stopping_code_says_what_to_do(code):
    """What stops has a remedy, in both clients, and does not pass."""
    for error in (KafkaError(code), errors.for_code(code)("x")):
        assert not passes(error)
        assert remedy(error)


@pytest.mark.parametrize("code", sorted(OF_LIBRDKAFKA))
def test_errors_of_librdkafka_itself(code):
    """Errors of librdkafka itself that pass bear the names of the table."""
    assert passes(KafkaError(code))
    assert KafkaError(code).name() == OF_LIBRDKAFKA[code][0]


def test_what_nobody_foresaw_stops():
    """A login that failed, a bug, another library's error: none of them passes."""
    for error in (
        KafkaError(KafkaError._AUTHENTICATION),
        KafkaError(KafkaError._FATAL),
        KafkaError(999),
        ValueError("x"),
        OSError(7, "x"),
    ):
        assert not passes(error)


def test_no_code_has_two_consequences():
    """A code is in one table only."""
    assert not set(PASSING) & set(STOPPING)
