"""A static member of the group: what it asks, when another process has its place, and partitions that nobody reads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from pipeline.kafka.static_member import FencedInstanceIdError, StaticMember
from pipeline.kafka.static_protocol import (
    StaticHeartbeatResponse,
    StaticLeave,
    StaticLeaveResponse,
    StaticOffsetCommitResponse,
)

GROUP, TOPIC, ME = "g", "events", "worker-1"
HEARTBEAT = HeartbeatRequest(GROUP, 7, "member-1")
COMMIT = OffsetCommitRequest(GROUP, 7, "member-1", -1, [(TOPIC, [(0, 42, "")])])
JOIN = JoinGroupRequest(GROUP, 1, 1, "member-1", ME, "consumer", [])
SYNC = SyncGroupRequest(GROUP, 7, "member-1", ME, [])
FENCED, OK = 82, 0


def heard(answer):
    """An answer through the wire and back."""
    return type(answer).decode(answer.encode())


def heartbeat(code):
    """The answer to a heartbeat."""
    return heard(StaticHeartbeatResponse(0, code))


def commit(code):
    """The answer to a commit."""
    return heard(StaticOffsetCommitResponse(0, [(TOPIC, [(0, code)])]))


class Coordinator:
    """aiokafka's, as far as a static member uses it; the brokers answer by the type of the request."""

    def __init__(self, **answers):
        self.sent, self.rejoined = [], 0
        self.group_id, self.member_id, self.generation = GROUP, "member-1", 7
        self._group_instance_id = ME
        self._closing = asyncio.get_running_loop().create_future()
        self._cluster = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1} if topic == TOPIC else None)
        subscription = SimpleNamespace(topics={TOPIC, "no-such-topic"}, assignment=object())
        self._subscription = SimpleNamespace(subscription=subscription)
        self.answers = answers

    async def _send_req(self, request):
        self.sent.append(request)
        answer = self.answers[type(request).__name__]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def reset_generation(self):
        """Join again."""
        self.rejoined += 1


def wire(request):
    """The fields of a request on the wire."""
    struct = request.prepare({request.API_KEY: (0, 9)})
    return type(struct).decode(struct.encode()).to_object()


async def test_a_member_says_who_it_is():
    """Heartbeats and commits carry the instance id; every other request goes as it is."""
    coordinator = Coordinator(StaticHeartbeat=heartbeat(OK), StaticOffsetCommit=commit(OK), OffsetFetchRequest="fetched")
    member = StaticMember(coordinator, ME)
    fetch = OffsetFetchRequest(GROUP, [])
    assert (await coordinator._send_req(HEARTBEAT)).error_code == OK
    assert (await coordinator._send_req(COMMIT)).topics == [(TOPIC, [(0, OK)])]
    assert await coordinator._send_req(fetch) == "fetched"
    beat, committed, other = coordinator.sent
    assert other is fetch
    assert wire(beat) == {"group": GROUP, "generation_id": 7, "member_id": "member-1", "group_instance_id": ME}
    said = wire(committed)
    assert (said["group_instance_id"], said["member_id"], said["generation_id"]) == (ME, "member-1", 7)
    assert said["topics"] == [
        {"topic": TOPIC, "partitions": [{"partition": 0, "offset": 42, "leader_epoch": -1, "metadata": ""}]}
    ]
    assert member.error is None
    member.close()


@pytest.mark.parametrize("found_by", [HEARTBEAT, JOIN, SYNC])
async def test_a_member_whose_place_is_taken_asks_nothing_more(found_by):
    """It sends nothing, above all no request to join, which would take the place back; a commit fails as after a rebalance."""
    answer = heartbeat(FENCED)
    coordinator = Coordinator(
        StaticHeartbeat=answer, JoinGroupRequest=answer, SyncGroupRequest=answer, StaticOffsetCommit=commit(OK)
    )
    member = StaticMember(coordinator, ME)
    asked = [asyncio.ensure_future(coordinator._send_req(found_by))]
    await asyncio.sleep(0.01)
    assert isinstance(member.error, FencedInstanceIdError)
    asked += [asyncio.ensure_future(coordinator._send_req(each)) for each in (HEARTBEAT, JOIN, SYNC)]
    with pytest.raises(CommitFailedError, match="already rebalanced"):
        await coordinator._send_req(COMMIT)
    await asyncio.sleep(0.01)
    assert len(coordinator.sent) == 1
    assert not any(task.done() for task in asked)
    coordinator._closing.set_result(None)
    for task in asked:
        with pytest.raises(FencedInstanceIdError):
            await task
    member.leave_when_closed()
    assert coordinator._group_instance_id == ME, "it has no place to leave"
    member.close()


async def test_a_commit_finds_out_first():
    """A commit whose answer says that another process has the place fails as after a rebalance, and nothing is asked again."""
    coordinator = Coordinator(StaticOffsetCommit=commit(FENCED))
    member = StaticMember(coordinator, ME)
    with pytest.raises(CommitFailedError, match="already rebalanced"):
        await coordinator._send_req(COMMIT)
    assert isinstance(member.error, FencedInstanceIdError)
    member.close()


async def test_a_member_that_is_to_leave():
    """Aiokafka leaves the group for members without an instance id only."""
    member = StaticMember(coordinator := Coordinator(), ME)
    member.leave_when_closed()
    assert coordinator._group_instance_id is None
    member.close()


def group(*members, state="Stable"):
    """The description of a group: (member id, numbers of its partitions)."""
    listed = [
        (member_id, "client", "/10.0.0.7", b"", ConsumerProtocolMemberAssignment(0, [(TOPIC, numbers)], b"").encode())
        for member_id, numbers in members
    ]
    return heard(DescribeGroupsResponse_v3(0, [(0, GROUP, state, "consumer", "faust", listed, -1)]))


@pytest.mark.parametrize(
    ("described", "acts"),
    [
        (group(("member-1", [0]), ("member-2", [])), True),
        (group(("member-1", [0]), ("member-2", [1])), False),
        (group(("member-0", [0]), ("member-1", [])), False),
        (group(("member-1", [0]), state="PreparingRebalance"), False),
        (group(), False),
        (KafkaError("no answer"), False),
    ],
    ids=["nobody reads one", "all are read", "another one acts", "being given out", "not a member", "no answer"],
)
async def test_a_partition_that_nobody_reads(described, acts):
    """Of a group at rest the member with the smallest id leaves and joins again, so that all partitions are given out."""
    coordinator = Coordinator(DescribeGroupsRequest=described, StaticLeave=heard(StaticLeaveResponse(0, 0, [])))
    member = StaticMember(coordinator, ME, look_seconds=0.001)
    for _ in range(200):
        await asyncio.sleep(0.001)
        if coordinator.rejoined:
            break
    assert bool(coordinator.rejoined) == acts
    left = [wire(request) for request in coordinator.sent if isinstance(request, StaticLeave)]
    assert left[:1] == ([{"group": GROUP, "members": [{"member_id": "member-1", "group_instance_id": ME}]}] if acts else [])
    assert member.error is None
    member.close()


async def test_what_ends_the_search_is_told():
    """An unforeseen error of the search for partitions is the member's error: the watchdog ends the worker."""
    member = StaticMember(Coordinator(DescribeGroupsRequest=ValueError("odd")), ME, look_seconds=0.001)
    await asyncio.wait([member._looking])
    assert repr(member.error) == "ValueError('odd')"
