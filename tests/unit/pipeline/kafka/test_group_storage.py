"""Whose offsets a group has: those of this storage, of another one, or of nobody that is known."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from pipeline.kafka.group_storage import GroupStorage
from sinks.errors import Fatal, Retryable


class Storage:
    """Its ids, as they are asked for in turn; the last answer stays."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def ids(self):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def group_of(*answers):
    """The group of a storage that answers so."""
    storage = Storage(*answers)
    return GroupStorage(storage.ids, group="g", storage="ClickHouse at h"), storage


async def test_offsets_of_this_storage_or_without_a_note_are_accepted():
    """An older release and an operator commit without a note; other programs may note anything."""
    group, storage = group_of(("a",))
    assert group.note == "storage a"
    for notes in ([], ["", ""], ["storage a", ""], ["a note of another program"]):
        assert await group.owns(notes)
    assert storage.asked == 1


async def test_offsets_of_another_storage_are_refused():
    """The error names the group and the storage, and what to do."""
    group, _ = group_of(("a",))
    with pytest.raises(ConfigurationError, match=r"group 'g' belongs to another storage.* not in ClickHouse at h") as caught:
        await group.owns(["storage a", "", "storage b"])
    assert "PORTALPULSE_KAFKA__GROUP" in caught.value.remedy


async def test_workers_that_created_the_storage_together_know_each_other():
    """Each may have added an id: all of them are this storage, also those that were added after this worker looked."""
    group, storage = group_of(("a",), ("a", "b"))
    assert await group.owns(["storage b"])
    assert await group.owns(["storage a", "storage b"])
    assert storage.asked == 2


async def test_while_the_storage_does_not_answer_nothing_is_known():
    """A note that is not known yet neither ends a worker nor lets it read."""
    group, _ = group_of(("a",), Retryable("away"), ("a", "b"))
    assert not await group.owns(["storage b"])
    assert await group.owns(["storage b"])


async def test_a_storage_that_cannot_be_used_is_not_passed_over():
    """Every error but one that passes by itself is raised, and ends the worker."""
    group, _ = group_of(("a",), Fatal("hidden rows"))
    with pytest.raises(Fatal, match="hidden rows"):
        await group.owns(["storage b"])
