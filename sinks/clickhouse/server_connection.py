"""Connections to a ClickHouse server, each of which sends the pinned settings with every request."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver import exceptions as driver_exceptions

from sinks.clickhouse.pinned_settings import READS, WRITES
from sinks.clickhouse.strict_pool import StrictPoolManager
from sinks.clickhouse.target import Target
from sinks.errors import Fatal

#: The answer is a single row, so that no limit can shorten it.
_READ_SETTINGS: Final = "SELECT groupArray(name), groupArray(value) FROM system.settings WHERE name IN {names:Array(String)}"
_UNKNOWN_SETTING: Final = 115


class ServerConnection:
    """Opens clients of one server over a shared pool. Thread-safe."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.pool = StrictPoolManager(READS, ca_file=target.ca_file)
        #: Whether the server lets this user change no setting (readonly = 1). Known after ``pin_settings``.
        self.read_only = False
        self._pinned = False
        self._changing = threading.Lock()  # held while the settings of the pool are replaced

    def connect(self, database: str) -> Any:
        """Open a new client.

        Pinned settings that an older release lacks are omitted: the release also lacks what they would undo.
        """
        target = self._target
        while True:
            sent = self.pool.settings  # another thread may omit the same setting meanwhile
            try:
                client = clickhouse_connect.get_client(
                    host=target.host,
                    port=target.port,
                    secure=target.secure,
                    username=target.user,
                    password=target.password,
                    database=database,
                    connect_timeout=min(10, target.timeout),
                    send_receive_timeout=target.timeout,
                    pool_mgr=self.pool,
                    autogenerate_session_id=False,
                    query_retries=0,
                    client_name="portalpulse",
                )
            except driver_exceptions.Error as error:
                named = set(re.findall(r"[Ss]etting '?(\w+)", str(error))) & sent.keys()
                if getattr(error, "code", None) != _UNKNOWN_SETTING or not named:
                    raise
                with self._changing:
                    self.pool.settings = {name: value for name, value in self.pool.settings.items() if name not in named}
            else:
                # With its own list the driver would drop or refuse settings that it takes for read-only. Without it the server
                # decides, and its error names the setting.
                client.server_settings = {}
                return client

    def pin_settings(self, client: Any) -> None:
        """Send every pinned setting that this release has with every request from now on, and check once that they are in force.

        Raises:
            Fatal: a setting is not in force, because something between this process and the server removed it.
        """
        if self._pinned:
            return
        pins = READS | WRITES
        found = _settings_in_force(client, [*pins, "readonly"])
        read_only = found.get("readonly") == "1"
        sent = {name: value for name, value in (READS if read_only else pins).items() if name in found}
        with self._changing:
            self.pool.settings = sent
        found = _settings_in_force(client, [*sent])
        for name, value in sent.items():
            if found.get(name) != value:
                raise Fatal(
                    f"{self._target.display_name}: the setting {name} is {found.get(name)!r} although every statement sets it to "
                    f"{value!r}; figures could be wrong. Configure the proxy in between to pass settings on, or connect to "
                    "ClickHouse without it."
                )
        self.read_only, self._pinned = read_only, True

    def close(self) -> None:
        """Close every connection of the pool."""
        self.pool.clear()


def _settings_in_force(client: Any, names: Sequence[str]) -> dict[str, str]:
    rows = client.query(_READ_SETTINGS, parameters={"names": names}).result_rows
    return dict(zip(*rows[0], strict=True)) if rows else {}
