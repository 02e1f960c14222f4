"""Queries ClickHouse for counts while something runs, and waits for them."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence

from bench.corpus import Buckets
from deploy.native.ports import LOOPBACK
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer

#: Seconds between two queries of the counts.
POLL_SECONDS = 0.02
_ANSWER_SECONDS = 60.0


class Probe:
    """Queries ClickHouse over one persistent connection, so that a query every 20 ms costs little."""

    def __init__(self, server: ClickHouseServer) -> None:
        self._port = server.http_port
        self._connection: http.client.HTTPConnection | None = None

    def rows(self, sql: str) -> list[list[str]] | None:
        """The rows of the answer; None while a table does not exist yet or the server does not answer."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_ANSWER_SECONDS)
            self._connection.request("POST", "/", body=sql.encode())
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        if answer.status != http.client.OK:
            return None
        return [line.split("\t") for line in text.splitlines()]

    def numbers(self, sql: str) -> list[int]:
        """The numbers of the first row; empty while there is none."""
        rows = self.rows(sql)
        return [int(value) for value in rows[0]] if rows else []

    def buckets(self, sql: str) -> Buckets:
        """Counts by (agency, minute), from a query that selects these two and a count."""
        found: Buckets = Buckets()
        for agency, minute, events in self.rows(sql) or []:
            found[agency, int(minute)] += int(events)
        return found

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def wait_for(
    done: Callable[[], bool], *, timeout: float, what: str, children: Sequence[ChildProcess] = (), poll: float = POLL_SECONDS
) -> None:
    """``wait_until`` with a short poll interval: what is timed ends at the next poll."""
    wait_until(done, timeout=timeout, what=what, children=children, poll=poll)
