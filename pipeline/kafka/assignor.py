"""Gives the partitions of the group out with Faust's assignor, which fails when a topic has fewer of them than before.

Faust's assignor keeps what each member had. A topic that is created again with fewer partitions, or whose metadata is incomplete
for a moment, leaves members with partitions that it does not have. The assignor then fails without a word (``AssertionError()``),
gives them out all the same, or looks for a place for them without end. Here each member forgets them first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor


class ExistingPartitionsAssignor(PartitionAssignor):  # type: ignore[misc] # Faust is untyped here
    """Faust's assignor for members that may have partitions which no longer exist."""

    def assign(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        """The assignment of each member; a topic without partitions in the metadata is nobody's."""
        return super().assign(cluster, {member: _existing(metadata, cluster) for member, metadata in member_metadata.items()})


def _existing(metadata: Any, cluster: Any) -> ConsumerProtocolMemberMetadata:
    """What a member told when it joined, without the partitions that the topics do not have."""
    told = ClientMetadata.loads(metadata.user_data)

    def kept(partitions: Mapping[str, list[int]]) -> dict[str, list[int]]:
        # Faust counts the partitions, and takes them to be the first ones.
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in partitions}
        return {topic: [number for number in numbers if number < counts[topic]] for topic, numbers in partitions.items()}

    told.assignment = ClientAssignment(actives=kept(told.assignment.actives), standbys=kept(told.assignment.standbys))
    return ConsumerProtocolMemberMetadata(metadata.version, metadata.subscription, told.dumps())
