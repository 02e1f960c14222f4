"""Who is in the consumer group besides the workers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import ConsumerGroupType, KafkaError, KafkaException

from pipeline.settings import KafkaSettings
from pipeline.stream.group_members import CLIENT_ID, Group, describe_group, refusal


class Admin:
    """An admin client that describes one group."""

    def __init__(self, *clients, kind=ConsumerGroupType.CLASSIC, error=None):
        members = [SimpleNamespace(client_id=client, host="/10.0.0.7") for client in clients]
        self._found, self._error = SimpleNamespace(type=kind, members=members, partition_assignor="faust"), error

    def describe_consumer_groups(self, groups, **_):
        """A future for each group."""
        return dict.fromkeys(groups, self)

    def result(self, _):
        """The description."""
        if self._error:
            raise self._error
        return self._found


@pytest.mark.parametrize("clients", [(), (CLIENT_ID, CLIENT_ID), ("faust-0.15.3",), ("portalpulse-preflight",)])
def test_workers_among_themselves(clients):
    """Workers, those of earlier releases and the preflight are no other program."""
    found = describe_group(Admin(*clients), "g")
    assert found == Group(newer_protocol=False, others=())
    assert refusal(KafkaSettings(), found) is None


@pytest.mark.parametrize("kind", [ConsumerGroupType.CLASSIC, ConsumerGroupType.CONSUMER])
def test_another_program_is_named(kind):
    """Beside workers or alone, in whichever protocol, it is named with its machine, and so is the setting."""
    found = describe_group(Admin(CLIENT_ID, "rdkafka", "billing", "billing", kind=kind), "g")
    assert found is not None
    said = str(refusal(KafkaSettings(group="g"), found))
    assert "The consumer group 'g' is used by another program: 'billing' on 10.0.0.7, 'rdkafka' on 10.0.0.7." in said
    assert "PORTALPULSE_KAFKA__GROUP" in said


def test_many_programs_are_not_all_listed():
    """A sentence stays one."""
    found = describe_group(Admin(*(f"c{number}" for number in range(9))), "g")
    assert "'c4' on 10.0.0.7 and 4 more." in str(refusal(KafkaSettings(), found))


@pytest.mark.parametrize("error", [KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)), TimeoutError()])
def test_a_group_that_may_not_be_described(error):
    """Brokers that do not tell stop nobody: joining shows whether the group may be used."""
    found = describe_group(Admin(error=error), "g")
    assert found is None
    assert refusal(KafkaSettings(), found) is None
