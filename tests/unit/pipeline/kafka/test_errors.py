"""Errors of Kafka by their consequence."""

from __future__ import annotations

import inspect

import pytest
from aiokafka import errors
from confluent_kafka import KafkaError

from pipeline.kafka.errors import FATAL, OF_AIOKAFKA, OF_LIBRDKAFKA, RETRYABLE, code_of, is_retryable, remedy

#: Every error that aiokafka can raise.
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.KafkaError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_aiokafka_has_one_consequence(kind):
    """An error with a code follows the table of codes, one without its class; whatever is in no table stops."""
    error = kind("x") if kind is not errors.ProducerFenced else kind()
    code = code_of(error)
    assert code == getattr(kind, "errno", None)
    assert is_retryable(error) == (code in RETRYABLE if code is not None else kind in OF_AIOKAFKA)
    assert remedy(error) == (FATAL[code].remedy if code in FATAL else "")


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_a_passing_code_passes_in_both_clients(code):
    """The same code means the same from aiokafka and from librdkafka."""
    assert is_retryable(KafkaError(code))
    kind = errors.for_code(code)
    assert is_retryable(kind("x")) or kind is errors.UnknownError  # aiokafka does not know the newest codes, and those stop


@pytest.mark.parametrize("code", sorted(FATAL))
def test_a_stopping_code_says_what_to_do(code):
    """What stops has a remedy, in both clients, and does not pass."""
    for error in (KafkaError(code), errors.for_code(code)("x")):
        assert not is_retryable(error)
        assert remedy(error)


@pytest.mark.parametrize("code", sorted(OF_LIBRDKAFKA))
def test_errors_of_librdkafka_itself(code):
    """Errors of librdkafka itself that pass bear the names of the table."""
    assert is_retryable(KafkaError(code))
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
        assert not is_retryable(error)


def test_no_code_has_two_consequences():
    """A code is in one table only."""
    assert not set(RETRYABLE) & set(FATAL)
