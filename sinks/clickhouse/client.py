"""The one door to clickhouse-connect and chDB: connections, settings of every call, errors by consequence.

Every thread gets a client of its own: an HTTP client is cheap, and a chDB handle serialises its calls, so sharing one would
make the inserts wait for the recounts.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Protocol

import clickhouse_connect
from clickhouse_connect.driver import exceptions as driver_errors
from urllib3.exceptions import HTTPError

from sinks.clickhouse.codes import FATAL, QUERY_CUT, QUERY_CUT_REMEDY, REFUSED_ROWS, RETRYABLE
from sinks.clickhouse.embedded_path import engine_path, open_folder
from sinks.clickhouse.pinned_settings import READS, WRITES
from sinks.clickhouse.target import Target
from sinks.clickhouse.whole_answers import StrictPoolManager
from sinks.errors import Fatal, RefusedRows, Retryable, SinkError

#: Makes every call faster and changes no answer: the month is part of every key, so no two months hold one row.
_TUNING: dict[str, Any] = {"do_not_merge_across_partitions_select_final": 1}
#: Why an answer may be shorter than it should be.
_CUT = "Look for settings of this user that limit answers."
#: One row, so that no limit can shorten it.
_LOOK_UP = "SELECT groupArray(name), groupArray(value) FROM system.settings WHERE name IN {names:Array(String)}"
_UNKNOWN_SETTING = 115


#: What a call can raise: the driver's own errors, and those of the connection below it that the driver lets pass.
_FOREIGN = (driver_errors.Error, HTTPError, OSError)
#: Without a code these are no answer of ClickHouse at all: refused, reset, timed out, broken off.
_NO_ANSWER = (driver_errors.OperationalError, HTTPError, OSError)
#: A proxy that cannot reach ClickHouse says so by a status alone; the driver keeps it in the text only.
_GATEWAY = re.compile(r"received HTTP status (?:408|429|502|503|504)\b")
#: What the driver and the server write around the error itself.
_WRAPPING = re.compile(r"^Received ClickHouse exception, code: \d+, server response: | \(version [^)]*\)| \(for url [^)]*\)$")
#: What urllib3 and the driver write around the cause when there is no connection: the cause alone is worth reading.
_CONNECTION = re.compile(
    r"HTTPS?ConnectionPool\([^)]*\): (?:Max retries exceeded .*Caused by \w+\(['\"]?(?:<[^>]*>|\w*\([^)]*\)): )?"
    r"(.*?)(?:['\"]?\)\))?(?: executing HTTP request attempt .*)?$"
)
#: Bytes read at a time from a streamed result.
_PIECE = 1 << 18


class Observer(Protocol):
    """Told about every call, whether it succeeded or failed."""

    def __call__(self, operation: str, outcome: str, seconds: float) -> None:
        """``outcome``: ok, retryable, refused or unknown."""
        ...


def _ignore(operation: str, outcome: str, seconds: float) -> None:
    """The observer of those who do not measure."""


class ClickHouse:
    """Connections to one target. Thread-safe; close it when done."""

    def __init__(self, target: Target, *, observer: Observer = _ignore) -> None:
        self.target = target
        self._observer = observer
        self._local = threading.local()
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()  # a client goes with its thread
        self._guard = threading.Lock()
        self._closed = False
        self._pool = StrictPoolManager(READS)
        #: Whether the server has confirmed the pinned settings, and whether it lets this user change any (readonly = 1).
        self._pinned = self._only_reads = False
        self._folder_lock: IO[str] | None = None
        self._folder_descriptor: int | None = None
        if target.folder is not None:
            self._folder_lock = _own_folder(target)
            try:
                self._folder_descriptor = open_folder(target.folder)
            except BaseException:
                self._folder_lock.close()
                raise

    def command(self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Run a statement without a result. ``operation`` names it in metrics."""
        self._call(
            operation,
            lambda client: client.command(sql, parameters=dict(parameters or {}), settings=self._with(settings)),
        )

    def rows(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> Sequence[Sequence[Any]]:
        """Run a query and return its rows."""
        rows: Sequence[Sequence[Any]] = self._call(
            operation,
            lambda client: client.query(sql, parameters=dict(parameters or {}), settings=self._with(settings)).result_rows,
        )
        return rows

    def whole_rows(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> Sequence[Sequence[Any]]:
        """Run a query whose last column is ``count() OVER ()``, and return its rows without that column.

        Raises:
            Fatal: fewer rows came than the query found.
        """
        rows = self.rows(operation, sql, parameters, **settings)
        if rows and int(rows[0][-1]) != len(rows):
            raise Fatal(f"{self.target.shown}: only {len(rows)} of {rows[0][-1]} rows of an answer came ({operation}). {_CUT}")
        return [row[:-1] for row in rows]

    def insert(self, operation: str, table: str, columns: Sequence[str], body: Any, form: str, **settings: Any) -> None:
        """Insert ``body`` (bytes in the ClickHouse format ``form``); durable when it returns."""
        self._call(
            operation,
            lambda client: client.raw_insert(
                table, column_names=list(columns), insert_block=body, settings=self._with(settings), fmt=form
            ),
        )

    def stream(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None, form: str, **settings: Any
    ) -> Iterator[bytes]:
        """Run a query and yield its result in the ClickHouse format ``form``, piece by piece, within one thread."""
        source = self._call(
            operation,
            lambda client: client.raw_stream(sql, parameters=dict(parameters or {}), settings=self._with(settings), fmt=form),
        )
        try:
            while piece := source.read(_PIECE):
                yield piece
        except _FOREIGN as error:
            raise translate(error, self.target) from error
        finally:
            source.close()

    def create_database(self) -> None:
        """Create the target's database if it is missing."""
        self._call(
            "migrate",
            lambda client: client.command(f"CREATE DATABASE IF NOT EXISTS {self.target.database}"),
            database="default",
        )

    def close(self) -> None:
        """Close every connection and give the folder free; later calls are refused."""
        with self._guard:
            self._closed = True
            clients, self._clients = list(self._clients), weakref.WeakSet()
        for client in clients:
            client.close()
        self._pool.clear()
        self._local = threading.local()
        if self._folder_lock is not None:
            self._folder_lock.close()
            self._folder_lock = None
        if self._folder_descriptor is not None:
            os.close(self._folder_descriptor)
            self._folder_descriptor = None

    def _call(self, operation: str, action: Callable[[Any], Any], *, database: str | None = None) -> Any:
        began = time.perf_counter()
        outcome = "unknown"
        try:
            result = action(self._client(database))
            outcome = "ok"
        except _FOREIGN as error:
            translated = translate(error, self.target)
            outcome = _OUTCOMES[type(translated)]
            raise translated from error
        else:
            return result
        finally:
            self._observer(operation, outcome, time.perf_counter() - began)

    def _client(self, database: str | None) -> Any:
        if database is not None:
            return self._open(database)
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._open(self.target.database)
        return client

    def _open(self, database: str) -> Any:
        """A new client of this thread.

        Raises:
            Fatal: this was closed, or the user's profile overrides a pinned setting.
        """
        target = self.target
        if target.folder is not None:
            with self._guard:  # so that ``close`` gives no folder free that is being opened
                self._refuse_when_closed()
                path = engine_path(target.folder, self._folder_descriptor)
                client = clickhouse_connect.get_client(interface="chdb", path=path, database=database)
                self._clients.add(client)
            for name, value in (READS | WRITES).items():
                known = client.server_settings.get(name)
                if known is not None and known.value != value:
                    client.set_client_setting(name, value)
            return client
        client = self._connect(database)
        # The driver would drop or refuse what it takes for read-only; the server knows better and names the setting.
        client.server_settings = {}
        with self._guard:
            if not self._closed:
                self._clients.add(client)
        try:
            self._refuse_when_closed()
            if not self._pinned:
                self._pin(client)
        except BaseException:
            client.close()
            raise
        return client

    def _connect(self, database: str) -> Any:
        """A client of a server. Pinned settings that an older release lacks are left out: it does not do what they would undo."""
        target = self.target
        while True:
            try:
                return clickhouse_connect.get_client(
                    host=target.host,
                    port=target.port,
                    secure=target.secure,
                    username=target.user,
                    password=target.password,
                    database=database,
                    connect_timeout=min(10, target.timeout),
                    send_receive_timeout=target.timeout,
                    pool_mgr=self._pool,
                    autogenerate_session_id=False,
                    query_retries=0,
                    client_name="portalpulse",
                )
            except driver_errors.Error as error:
                sent = self._pool.settings
                named = set(re.findall(r"[Ss]etting '?(\w+)", str(error))) & sent.keys()
                if getattr(error, "code", None) != _UNKNOWN_SETTING or not named:
                    raise
                self._pool.settings = {name: value for name, value in sent.items() if name not in named}

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Fatal(f"The connection to {self.target.shown} was closed.")

    def _pin(self, client: Any) -> None:
        """Send the pinned settings that this release knows from now on, and see that they are in force.

        Raises:
            Fatal: one is not, for something between us and the server left it out.
        """
        pins = READS | WRITES
        found = _looked_up(client, [*pins, "readonly"])
        only_reads = found.get("readonly") == "1"
        sent = {name: value for name, value in (READS if only_reads else pins).items() if name in found}
        self._pool.settings = sent
        found = _looked_up(client, [*sent])
        for name, value in sent.items():
            if found.get(name) != value:
                raise Fatal(
                    f"{self.target.shown}: the setting {name} is {found.get(name)!r} although every statement sets it to "
                    f"{value!r}; figures could be wrong. Let the proxy between pass settings on, or reach ClickHouse without it."
                )
        self._only_reads, self._pinned = only_reads, True

    def _with(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of one call. A user with readonly = 1 may change none: these only tune, or belong to writes."""
        return {} if self._only_reads else {**_TUNING, **settings}


def _looked_up(client: Any, names: Sequence[str]) -> dict[str, str]:
    rows = client.query(_LOOK_UP, parameters={"names": names}).result_rows
    return dict(zip(*rows[0], strict=True)) if rows else {}


def translate(error: Exception, target: Target) -> SinkError:
    """A foreign error by its consequence, see ``sinks.clickhouse.codes``. Unlisted codes are Fatal."""
    code = getattr(error, "code", None)
    text = f"{target.shown}: {_first_line(error)}"
    if code in RETRYABLE:
        return Retryable(text, retry_after=RETRYABLE[code].pause)
    if code in REFUSED_ROWS:
        return RefusedRows(text)
    if code is None and (isinstance(error, _NO_ANSWER) or _GATEWAY.search(text)):
        return Retryable(text)
    if QUERY_CUT in text:
        return Fatal(f"{text.rstrip('.')}. {QUERY_CUT_REMEDY}")
    if code in FATAL:
        return Fatal(f"{text.rstrip('.')}. {FATAL[code].remedy}")
    return Fatal(text)


_OUTCOMES: dict[type[SinkError], str] = {Retryable: "retryable", RefusedRows: "refused", Fatal: "unknown"}


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    if text and (found := _CONNECTION.search(text[0])):
        return found[1]
    return _WRAPPING.sub("", text[0])[:500] if text else type(error).__name__


def _why(error: OSError) -> str:
    """Why a folder cannot be used, for people."""
    return "it is a file" if isinstance(error, FileExistsError) else str(error.strerror or error)


def _own_folder(target: Target) -> IO[str]:
    """Lock the embedded engine's folder: one process owns it.

    Raises:
        Fatal: another process has it, or it cannot be written.
    """
    folder = target.folder
    assert folder is not None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / f"{folder.name}.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise Fatal(
            f"The data folder {folder} cannot be written: {_why(error)}. Name another one with PORTALPULSE_CLICKHOUSE__URL"
            " (chdb:FOLDER), or with --data where the command has it."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise Fatal(
            f"The data folder {folder} is in use by process {owner}. Stop the other process, or name another folder with"
            " PORTALPULSE_CLICKHOUSE__URL (chdb:FOLDER), or with --data where the command has it."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
