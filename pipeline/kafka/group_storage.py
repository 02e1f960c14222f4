"""A group of workers belongs to one storage: workers commit each offset with a note that has the storage's id.

If a group continued with another storage, that storage would lack all messages that were acknowledged before. If two storages
shared a group, each would lack the messages that the workers of the other one read, and both would call their figures final.
Kafka stores a text (the note) with each committed offset. An offset without a note is accepted: it is from an older release, or
an operator set it (``portalpulse offsets restore``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from domain.errors import ConfigurationError
from pipeline.kafka.daemon_thread import in_daemon_thread
from pipeline.logs import get_logger
from sinks.errors import Retryable

_NOTED: Final = "storage "
#: Seconds between two looks at the notes of the whole group.
CHECK_SECONDS: Final = 30.0

log = get_logger("group_storage")


class GroupStorage:
    """Checks whether committed offsets of the group belong to this worker's storage.

    Args:
        ids: reads the ids of the storage, the oldest first.
        group: the name of the group.
        storage: the name of the storage for messages.
    """

    def __init__(self, ids: Callable[[], Sequence[str]], *, group: str, storage: str) -> None:
        self._ids, self._group, self._storage = ids, group, storage
        known = ids()
        self._known = frozenset(known)
        #: Stands beside each offset that this worker commits.
        self.note = f"{_NOTED}{known[0]}"

    async def owns(self, notes: Iterable[str]) -> bool:
        """Whether the notes of committed offsets are all of this storage; False: not known, because the storage does not answer.

        Raises:
            ConfigurationError: offsets belong to another storage.
            Fatal: the storage cannot be used.
        """
        noted = {note.removeprefix(_NOTED) for note in notes if note.startswith(_NOTED)}
        if noted <= self._known:
            return True
        try:  # workers that created the storage together added several
            self._known = frozenset(await in_daemon_thread(self._ids))
        except Retryable as error:
            log.info("storage_ids_not_read", error=str(error))
            return False
        if noted <= self._known:
            return True
        raise ConfigurationError(
            f"The group {self._group!r} belongs to another storage. What its workers acknowledged is not in {self._storage}.",
            remedy="Set another PORTALPULSE_KAFKA__GROUP: it reads every topic from its beginning. After a restore of a backup "
            "set the group back with `portalpulse offsets restore` (docs/backup.md).",
        )
