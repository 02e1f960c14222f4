"""Who is in the consumer group besides the workers."""

from __future__ import annotations

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupAuthorizationFailedError, IncompatibleBrokerVersion, NotCoordinatorForGroupError
from aiokafka.protocol.admin import DescribeGroupsResponse_v2

from pipeline.kafka.group_members import CLIENT_ID, Group, describe_group, refusal
from pipeline.kafka.group_protocol import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeRequestStruct,
    ConsumerGroupDescribeResponse,
)
from pipeline.settings import KafkaSettings

NO_SUCH_GROUP = 69


def assigned(*topics):
    """A member's partitions as its leader wrote them."""
    return ConsumerProtocolMemberAssignment(0, [(topic, [0]) for topic in topics], b"").encode()


def classic(*clients, state="Stable", error=0, topics=("events",)):
    """What a coordinator answers about a classic group, through the wire and back."""
    members = [(f"{client}-1", client, "/10.0.0.7", b"", assigned(*topics)) for client in clients]
    answer = DescribeGroupsResponse_v2(0, [(error, "g", state, "consumer", "faust", members)])
    return DescribeGroupsResponse_v2.decode(answer.encode())


def newer(*clients, state="Stable", error=0):
    """The same of a group of the newer protocol."""
    part = ([(1, 2, "events", [0, 1], {})], {})
    members = [(f"{client}-1", None, None, 3, client, "/10.0.0.7", ["events"], None, part, part, {}) for client in clients]
    answer = ConsumerGroupDescribeResponse(0, [(error, None, "g", state, 1, 1, "uniform", members, 0, {})], {})
    return ConsumerGroupDescribeResponse.decode(answer.encode())


class Brokers:
    """A client whose coordinator gives these answers; an error is raised."""

    def __init__(self, *answers):
        self._answers = list(answers)

    async def find_coordinator(self, _group):
        """The only broker."""
        return 1

    async def _send_request(self, _request, _node):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


NOBODY = classic(state="Dead"), newer(error=NO_SUCH_GROUP, state="")


@pytest.mark.parametrize("clients", [(CLIENT_ID, CLIENT_ID), ("faust-0.15.3",), ("portalpulse-preflight",)])
async def test_workers_among_themselves(clients):
    """Workers, also of earlier releases, and the preflight do not count as another program."""
    found = await describe_group(Brokers(classic(*clients)), "g")
    assert not found.newer_protocol
    assert refusal(KafkaSettings(), found) is None


@pytest.mark.parametrize("answers", [NOBODY, (classic(), IncompatibleBrokerVersion()), (classic(), NotImplementedError())])
async def test_a_group_that_nobody_is_in(answers):
    """A group that does not exist, or brokers that do not know the newer protocol: nobody is in it."""
    assert await describe_group(Brokers(*answers), "g") == Group(newer_protocol=False, stable=False, members=())


@pytest.mark.parametrize(
    "answers", [(classic("rdkafka", CLIENT_ID, "billing", "billing"),), (classic(), newer("rdkafka", "billing"))]
)
async def test_another_program_is_named(answers):
    """Beside workers or alone, in whichever protocol, it is named with its machine, and so is the setting."""
    found = await describe_group(Brokers(*answers), "g")
    said = str(refusal(KafkaSettings(group="g"), found))
    assert "The consumer group 'g' is used by another program: 'billing' on 10.0.0.7, 'rdkafka' on 10.0.0.7." in said
    assert "PORTALPULSE_KAFKA__GROUP" in said


async def test_a_group_that_another_program_has_left():
    """A group of the newer protocol without members is still one."""
    assert await describe_group(Brokers(classic(), newer(state="Empty")), "g") == Group(
        newer_protocol=True, stable=False, members=()
    )


async def test_many_programs_are_not_all_listed():
    """A sentence stays one."""
    found = await describe_group(Brokers(classic(*(f"c{number}" for number in range(9)))), "g")
    assert "'c4' on 10.0.0.7 and 4 more." in str(refusal(KafkaSettings(), found))


@pytest.mark.parametrize(
    ("answers", "readers"),
    [
        ((classic(CLIENT_ID, CLIENT_ID),), 2),
        ((classic(CLIENT_ID, topics=("other",)),), 0),
        ((classic(CLIENT_ID, topics=(), state="PreparingRebalance"),), 1),
        ((classic(), newer("billing")), 1),
        (NOBODY, 0),
    ],
)
async def test_who_reads_a_topic(answers, readers):
    """Members with partitions of it; while partitions are given out, every member may."""
    assert (await describe_group(Brokers(*answers), "g")).readers(["events"]) == readers


@pytest.mark.parametrize(("code", "kind"), [(16, NotCoordinatorForGroupError), (30, GroupAuthorizationFailedError)])
@pytest.mark.parametrize("protocol", ["classic", "newer"])
async def test_a_coordinator_that_does_not_tell(code, kind, protocol):
    """Its error is raised, whichever request met it: a group that is not described is never taken for an empty one."""
    answers = [classic(error=code)] if protocol == "classic" else [classic(), newer(error=code)]
    with pytest.raises(kind):
        await describe_group(Brokers(*answers), "g")


def test_the_request_on_the_wire():
    """One group, no rights asked for, no tags."""
    request = ConsumerGroupDescribeRequest("g").build(ConsumerGroupDescribeRequestStruct)
    assert request.encode() == b"\x02\x02g\x00\x00"
