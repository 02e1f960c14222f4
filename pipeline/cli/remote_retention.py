"""Lets a running process do the steps of retention, over HTTP."""

from __future__ import annotations

from typing import Any, Final

from pipeline.cli.remote import Process

#: A share has about a million messages; deleting waits for ClickHouse.
_SECONDS: Final = 3_600.0


class RemoteRetention:
    """Implements ``pipeline.retention.service.RetentionSteps``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def show(self) -> dict[str, Any]:
        """How much is stored, from when on, and how much would expire now."""
        return self._ask("GET", "")

    def plan(self, *, take_over: bool) -> dict[str, Any]:
        """Complete earlier runs that broke off; return the shares of dossiers that are to expire."""
        return self._ask("POST", "/plan", {"take_over": take_over})

    def share(self, share: dict[str, Any]) -> dict[str, Any]:
        """Let the messages of a share of dossiers expire."""
        return self._ask("POST", "/share", share)

    def remove(self) -> dict[str, Any]:
        """Delete the messages that expired, and old dead letters."""
        return self._ask("POST", "/remove", {})

    def _ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        more: dict[str, Any] = {} if fields is None else {"json": fields}
        found: dict[str, Any] = self._process.request_json(method, f"/api/v1/retention{path}", timeout=_SECONDS, **more)
        return found
