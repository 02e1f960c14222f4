"""Assigns partitions to the members of the group with Faust's assignor, also when a topic has fewer partitions than before.

Faust's assignor keeps the partitions that each member had. When a topic is created again with fewer partitions, or its metadata
is incomplete for a moment, members have partitions that do not exist. Faust's assignor then fails with an empty
``AssertionError()``, assigns these partitions all the same, or never ends. This assignor first removes such partitions from every
member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor


class ExistingPartitionsAssignor(PartitionAssignor):  # type: ignore[misc] # Faust is untyped here
    """Faust's assignor, which first removes partitions that no longer exist from the members."""

    def assign(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        """The assignment of each member. A topic without partitions in the metadata is assigned to nobody."""
        return super().assign(cluster, {member: _existing(metadata, cluster) for member, metadata in member_metadata.items()})


def _existing(metadata: Any, cluster: Any) -> ConsumerProtocolMemberMetadata:
    """What a member sent when it joined, without partitions that its topics do not have."""
    told = ClientMetadata.loads(metadata.user_data)

    def kept(partitions: Mapping[str, list[int]]) -> dict[str, list[int]]:
        # Faust counts the partitions, and takes them to be the first ones.
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in partitions}
        return {topic: [number for number in numbers if number < counts[topic]] for topic, numbers in partitions.items()}

    told.assignment = ClientAssignment(actives=kept(told.assignment.actives), standbys=kept(told.assignment.standbys))
    return ConsumerProtocolMemberMetadata(metadata.version, metadata.subscription, told.dumps())
