"""Calls to ClickHouse, embedded (chDB) or over HTTP: one client for each thread, the settings of every call, and its errors.

Every thread has a client of its own. An HTTP client is cheap. A chDB handle runs its calls one after the other, so with a
shared handle inserts would wait for recounts.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol, cast

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.external import ExternalData

from sinks.clickhouse.arrow import ChunkReader, arrow_stream
from sinks.clickhouse.driver_errors import DRIVER_ERRORS, OUTCOMES, require_empty, translate, translate_garbled
from sinks.clickhouse.embedded_path import engine_path, open_folder
from sinks.clickhouse.folder_lock import lock_folder
from sinks.clickhouse.pinned_settings import READS, WRITES
from sinks.clickhouse.server_connection import ServerConnection
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, SinkError

#: Makes every call faster and changes no answer: the month is part of every key, so no row is in two months.
_TUNING: Final[dict[str, Any]] = {"do_not_merge_across_partitions_select_final": 1}
#: Texts as strings, those of few values by number. A user who may change no setting gets what the defaults give.
_ARROW: Final[dict[str, Any]] = {
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 1,
}
#: Bytes read at a time from a streamed result.
_CHUNK_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """Rows that are sent with a query, which can read them under a name; ``structure``: columns and types as in CREATE TABLE."""

    name: str
    structure: str
    rows: pa.Table


class Observer(Protocol):
    """A function that is called after every call to ClickHouse, successful or not, to measure it."""

    def __call__(self, operation: str, outcome: str, seconds: float) -> None:
        """Measure a call that took ``seconds``; ``outcome``: ok, retryable, refused or unknown."""
        ...


def _ignore(operation: str, outcome: str, seconds: float) -> None:
    """The observer that measures nothing."""


class ClickHouse:
    """Connections to one target. Several threads may use it at once; close it when done."""

    def __init__(self, target: Target, *, observer: Observer = _ignore) -> None:
        self.target = target
        self._observer = observer
        self._local = threading.local()
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()  # a client is released with its thread
        self._guard = threading.Lock()
        self._external = threading.Lock()  # held while an embedded engine has an external table
        self._closed = False
        self._server = ServerConnection(target)
        self._folder_lock: IO[str] | None = None
        self._folder_descriptor: int | None = None
        if target.folder is not None:
            self._folder_lock = lock_folder(target.folder)
            try:
                self._folder_descriptor = open_folder(target.folder)
            except BaseException:
                self._folder_lock.close()
                raise

    def command(self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Run a statement without a result. ``operation`` names the call in metrics."""
        self.call(
            operation,
            lambda client: client.command(sql, parameters=dict(parameters or {}), settings=self.call_settings(settings)),
            sql=sql,
        )

    def rows(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> Sequence[Sequence[Any]]:
        """Run a query and return its rows.

        Raises:
            Fatal: the answer is empty, and the server does not confirm that the result has no rows.
        """

        def read(client: Any) -> Sequence[Sequence[Any]]:
            result = client.query(sql, parameters=dict(parameters or {}), settings=self.call_settings(settings))
            rows: Sequence[Sequence[Any]] = result.result_rows
            if not rows and self.target.folder is None:
                require_empty(result.summary, self.target, operation)
            return rows

        return cast("Sequence[Sequence[Any]]", self.call(operation, read, sql=sql))

    def counted_rows(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> Sequence[Sequence[Any]]:
        """Run a query whose last column is ``count() OVER ()``, and return its rows without that column.

        Raises:
            Fatal: fewer rows arrived than the query found.
        """
        rows = self.rows(operation, sql, parameters, **settings)
        if rows and int(rows[0][-1]) != len(rows):
            raise Fatal(
                f"{self.target.display_name}: only {len(rows)} of {rows[0][-1]} rows of an answer arrived ({operation}). "
                "Look for settings of this user that limit answers."
            )
        return [row[:-1] for row in rows]

    def insert(self, operation: str, table: str, columns: Sequence[str], body: Any, form: str, **settings: Any) -> None:
        """Insert ``body`` (bytes in the ClickHouse format ``form``); durable when it returns."""
        self.call(
            operation,
            lambda client: client.raw_insert(
                table, column_names=list(columns), insert_block=body, settings=self.call_settings(settings), fmt=form
            ),
        )

    def stream(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None, form: str, **settings: Any
    ) -> Iterator[bytes]:
        """Run a query and yield its result in the ClickHouse format ``form``, in chunks, within one thread."""
        source = self.call(
            operation,
            lambda client: client.raw_stream(
                sql, parameters=dict(parameters or {}), settings=self.call_settings(settings), fmt=form
            ),
            sql=sql,
        )
        try:
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk
        except DRIVER_ERRORS as error:
            raise translate(error, self.target) from error
        finally:
            source.close()

    def batches(
        self, operation: str, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its result as Arrow record batches, within one thread."""
        settings |= _ARROW
        chunks = self.stream(operation, sql, parameters, "ArrowStream", **settings)
        try:
            with pa.ipc.open_stream(pa.PythonFile(ChunkReader(chunks), mode="r")) as reader:
                yield from reader
        except (pa.ArrowException, OSError) as error:  # Arrow's own errors of the system: a body that ends too early
            raise translate_garbled(error, self.target, operation) from error
        finally:
            chunks.close()  # type: ignore[attr-defined]

    def table(self, operation: str, sql: str, external: ExternalTable | None = None, **settings: Any) -> pa.Table:
        """Run a query and return its result as an Arrow table. Texts are strings, UInt128 is fixed-size binary.

        Args:
            operation: names the call in metrics.
            sql: the query.
            external: a table that is sent with the query and that only this query can read.
            settings: ClickHouse settings of this call.
        """
        body: bytes = self.call(
            operation, lambda client: self._table(client, sql, external, self.call_settings(settings | _ARROW)), sql=sql
        )
        if not body:
            raise Fatal(f"{self.target.display_name}: an answer without a schema arrived ({operation}).")
        try:
            return pa.ipc.open_stream(body).read_all()
        except (pa.ArrowException, OSError) as error:
            raise translate_garbled(error, self.target, operation) from error

    def _table(self, client: Any, sql: str, external: ExternalTable | None, settings: Mapping[str, Any]) -> bytes:
        if external is None:
            return bytes(client.raw_query(sql, settings=settings, fmt="ArrowStream"))
        body = b"".join(arrow_stream(external.rows))
        if self.target.folder is None:
            data = ExternalData(file_name=external.name, data=body, fmt="ArrowStream", structure=external.structure)
            return bytes(client.raw_query(sql, settings=settings, fmt="ArrowStream", external_data=data))
        # The embedded engine takes no tables with a query. A table in memory ends with this process, which owns the folder.
        with self._external:
            client.command(f"CREATE OR REPLACE TABLE {external.name} ({external.structure}) ENGINE = Memory")
            try:
                client.raw_insert(external.name, column_names=external.rows.column_names, insert_block=body, fmt="ArrowStream")
                return bytes(client.raw_query(sql, settings=settings, fmt="ArrowStream"))
            finally:
                client.command(f"DROP TABLE {external.name}")

    def create_database(self) -> None:
        """Create the target's database if it is missing."""
        self.call(
            "migrate",
            lambda client: client.command(f"CREATE DATABASE IF NOT EXISTS {self.target.database}"),
            database="default",
        )

    def close(self) -> None:
        """Close every connection and release the folder of the embedded engine; later calls raise ``Fatal``."""
        with self._guard:
            self._closed = True
            clients, self._clients = list(self._clients), weakref.WeakSet()
        for client in clients:
            client.close()
        self._server.close()
        self._local = threading.local()
        if self._folder_lock is not None:
            self._folder_lock.close()
            self._folder_lock = None
        if self._folder_descriptor is not None:
            os.close(self._folder_descriptor)
            self._folder_descriptor = None

    def call(self, operation: str, action: Callable[[Any], Any], *, database: str | None = None, sql: str = "") -> Any:  # noqa: ARG002
        """Run ``action`` with a client of this thread.

        ``sql``: the statement that ``action`` runs; replicas find in it which tables it reads.
        """
        began = time.perf_counter()
        outcome = "unknown"
        try:
            result = action(self._client(database))
            outcome = "ok"
        except DRIVER_ERRORS as error:
            translated = translate(error, self.target)
            outcome = OUTCOMES[type(translated)]
            raise translated from error
        except (SinkError, MemoryError, AssertionError):
            raise
        except Exception as error:  # of a parser of answers: the driver's, or of a library that unpacks them
            translated = translate_garbled(error, self.target, operation)
            outcome = OUTCOMES[type(translated)]
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
        """Open a new client for this thread.

        Raises:
            Fatal: this connection was closed, or a pinned setting is not in force.
        """
        if self.target.folder is not None:
            with self._guard:  # so that ``close`` does not release a folder that is being opened
                self._refuse_when_closed()
                path = engine_path(self.target.folder, self._folder_descriptor)
                client = clickhouse_connect.get_client(interface="chdb", path=path, database=database)
                self._clients.add(client)
            for name, value in (READS | WRITES).items():
                known = client.server_settings.get(name)
                if known is not None and known.value != value:
                    client.set_client_setting(name, value)
            return client
        client = self._server.connect(database)
        with self._guard:
            if not self._closed:
                self._clients.add(client)
        try:
            self._refuse_when_closed()
            self._server.pin_settings(client)
        except BaseException:
            client.close()
            raise
        return client

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Fatal(f"The connection to {self.target.display_name} was closed.")

    def call_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The ClickHouse settings to send with one call. None for a user with readonly = 1, who may not change settings."""
        return {} if self._server.read_only else {**_TUNING, **settings}
