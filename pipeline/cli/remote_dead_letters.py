"""Lets a running process list, show, replay, drop and accept dead letters, over HTTP."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from pipeline.cli.remote import AnswerError, Process, is_absent
from pipeline.dead_letters.routes import NO_DEAD_LETTER
from pipeline.dead_letters.service import filter_fields
from sinks.contract.dead_letters import DeadLetterFilter, Position

#: A replay waits for Kafka page by page.
_CHANGE_SECONDS: Final = 3_600.0
_PATH: Final = "/api/v1/dead-letters"


class RemoteDeadLetters:
    """Has the methods of ``DeadLetterService`` and calls those of a running process; errors are those of ``request_json``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def page(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> dict[str, Any]:
        """Counts of dead letters by reason, and one page of dead letters."""
        fields = filter_fields(criteria) | {"limit": limit, "replayed": "1" if criteria.replayed else "0"}
        if after is not None:
            fields["after"] = "/".join(map(str, after))
        page: dict[str, Any] = self._process.request_json("GET", _PATH, params=fields)
        return page

    def show(self, position: Position) -> dict[str, Any] | None:
        """The dead letter at a position with its bytes, or None."""
        topic, partition, offset = position
        try:
            found: dict[str, Any] = self._process.request_json("GET", f"{_PATH}/{quote(topic, safe='')}/{partition}/{offset}")
        except AnswerError as error:
            if is_absent(error, NO_DEAD_LETTER):
                return None
            raise
        return found

    def preview(self, criteria: DeadLetterFilter) -> dict[str, Any]:
        """How many messages a replay would have accepted and refused; nothing is sent."""
        return self._change("replay", filter_fields(criteria) | {"dry_run": True})

    def replay(self, criteria: DeadLetterFilter) -> dict[str, Any]:
        """Send the messages of the dead letters again, and mark the dead letters as replayed."""
        return self._change("replay", filter_fields(criteria))

    def drop(self, criteria: DeadLetterFilter) -> dict[str, Any]:
        """Remove dead letters."""
        return self._change("drop", filter_fields(criteria))

    def accept(self, topic: str, partition: int, *, until: int | None) -> dict[str, Any]:
        """Let a worker dead-letter the messages of a partition beyond its limit."""
        return self._change("accept", {"topic": topic, "partition": partition, "until": until})

    def _change(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._process.request_json("POST", f"{_PATH}/{action}", timeout=_CHANGE_SECONDS, json=fields)
        return answer
