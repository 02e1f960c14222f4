"""The tables of error codes compared with a real server: every name, every consequence, and real errors."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from deploy.native.services.clickhouse_server import ClickHouseServer
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.error_codes import FATAL, REFUSED_ROWS, RETRYABLE
from sinks.clickhouse.target import Target
from sinks.errors import Fatal, RefusedRows, Retryable, SinkError

pytestmark = pytest.mark.integration  # a server with users of its own

CONFIG = """<clickhouse><users_config>{users}</users_config></clickhouse>"""
CROWDED = "parts_to_throw_insert = 1, parts_to_delay_insert = 1000000"
USERS = """
<clickhouse>
  <profiles><default/><reading><readonly>2</readonly></reading>
    <bounded><constraints><max_memory_usage><max>1000000000</max></max_memory_usage></constraints></bounded></profiles>
  <quotas><default/></quotas>
  <users>
    <default><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
    <reader><password>r</password><networks><ip>127.0.0.1</ip></networks><profile>reading</profile><quota>default</quota></reader>
    <bound><password>b</password><networks><ip>127.0.0.1</ip></networks><profile>bounded</profile><quota>default</quota></bound>
    <distant><password>d</password><networks><ip>10.1.2.3</ip></networks><profile>default</profile><quota>default</quota></distant>
    <powerless><password>p</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SELECT ON codes.plain</query></grants></powerless>
  </users>
</clickhouse>
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with users of several kinds and some tables."""
    folder = tmp_path_factory.mktemp("codes")
    (folder / "users.xml").write_text(USERS, encoding="utf-8")
    (folder / "config.xml").write_text(CONFIG.format(users=folder / "users.xml"), encoding="utf-8")
    server = ClickHouseServer(data_dir=folder / "data", log_dir=folder, options=[f"--config-file={folder / 'config.xml'}"])
    server.start()
    for statement in (
        "CREATE DATABASE codes",
        "CREATE TABLE codes.plain (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE codes.ruled (a UInt64, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE codes.typed (a UUID, b DateTime, c Enum8('x' = 1)) ENGINE = MergeTree ORDER BY a",
        f"CREATE TABLE codes.parted (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS {CROWDED}",
        "INSERT INTO codes.parted SELECT 1",
        "CREATE TABLE codes.frozen (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS table_readonly = 1",
    ):
        server.query(statement)
    yield server
    server.stop()


@pytest.fixture
def connect(server):
    """``connect(user="name:password")``: a client of that user."""
    opened = []

    def connect(user="default:"):
        clickhouse = ClickHouse(Target.parse(f"http://{user}@127.0.0.1:{server.http_port}/codes", timeout=20))
        opened.append(clickhouse)
        return clickhouse

    yield connect
    for clickhouse in opened:
        clickhouse.close()


def consequence_of(code):
    """The class that the tables give a code."""
    return Retryable if code in RETRYABLE else RefusedRows if code in REFUSED_ROWS else Fatal


@pytest.mark.parametrize(
    "code",  # every fourth one in the fast run
    [
        pytest.param(code, marks=pytest.mark.long if number % 4 else ())
        for number, code in enumerate(sorted({*RETRYABLE, *REFUSED_ROWS, *FATAL}))
    ],
)
def test_every_line_is_the_servers(connect, code):
    """The server knows each code by the name in the table, and an error of this code arrives as its consequence."""
    clickhouse = connect()
    line = RETRYABLE.get(code) or REFUSED_ROWS.get(code) or FATAL[code]
    assert clickhouse.rows("test", f"SELECT errorCodeToName({code})")[0][0] == line.name
    raising = f"SELECT throwIf(1, 'made', toInt16({code}))"
    for action in (
        lambda: clickhouse.rows("test", raising, allow_custom_error_code_in_throwif=1),
        lambda: clickhouse.command("test", f"INSERT INTO plain {raising}", allow_custom_error_code_in_throwif=1),
    ):
        with pytest.raises(SinkError) as raised:
            action()
        assert type(raised.value) is consequence_of(code)
        assert raised.value.__cause__.code == code


CASES = {
    # retryable
    159: ("default:", "SELECT sum(cityHash64(number)) FROM numbers(100000000000)", {"max_execution_time": 0.2}),
    241: ("default:", "SELECT groupArray(number) FROM numbers(50000000)", {"max_memory_usage": 20_000_000}),
    252: ("default:", "INSERT INTO parted SELECT 2", {}),
    # errors of the rows
    6: ("default:", "SELECT toUInt8('x')", {}),
    41: ("default:", "INSERT INTO typed (b) SELECT toDateTime('no time')", {}),
    376: ("default:", "INSERT INTO typed (a) SELECT toUUID('no uuid')", {}),
    469: ("default:", "INSERT INTO ruled SELECT 7", {}),
    691: ("default:", "INSERT INTO typed (c) SELECT 'y'", {}),
    # what a person must fix
    16: ("default:", "INSERT INTO plain (nothing) SELECT 1", {}),
    47: ("default:", "SELECT nothing FROM plain", {}),
    60: ("default:", "SELECT * FROM nothing", {}),
    62: ("default:", "SELECT (1", {}),
    81: ("default:", "SELECT * FROM nowhere.nothing", {}),
    115: ("default:", "SELECT 1 SETTINGS nothing = 1", {}),
    158: ("default:", "SELECT * FROM numbers(100)", {"max_rows_to_read": 10}),
    161: ("default:", "SELECT a, c FROM typed", {"max_columns_to_read": 1}),
    162: ("default:", "SELECT * FROM (SELECT * FROM (SELECT 1))", {"max_subquery_depth": 1}),
    167: ("default:", "SELECT ((((1 + 1) + 1) + 1) + 1)", {"max_ast_depth": 3}),
    168: ("default:", "SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9", {"max_ast_elements": 5}),
    306: ("default:", "SELECT ((((1 + 1) + 1) + 1) + 1)", {"max_parser_depth": 5}),
    392: ("default:", "CREATE TABLE another (a UInt8) ENGINE = Memory", {"allow_ddl": 0}),
    164: ("reader:r", "INSERT INTO plain SELECT 1", {}),
    181: ("default:", "SELECT * FROM plain FINAL", {}),
    191: ("default:", "SELECT count() FROM plain WHERE a IN (SELECT number FROM numbers(10))", {"max_rows_in_set": 2}),
    277: ("default:", "SELECT sum(a) FROM parted WHERE cityHash64(a) = 1", {"force_primary_key": 1}),
    396: ("default:", "SELECT number FROM numbers(1000)", {"max_result_rows": 10}),
    452: ("bound:b", "SELECT 1 SETTINGS max_memory_usage = 2000000000", {}),
    497: ("powerless:p", "INSERT INTO plain SELECT 1", {}),
    516: ("reader:wrong", "SELECT 1", {}),
    774: ("default:", "INSERT INTO frozen SELECT 1", {}),
}


@pytest.mark.parametrize("code", CASES)
def test_the_error_itself(connect, code):
    """The real error has this code and this consequence; a fatal one names its remedy and no password."""
    user, sql, settings = CASES[code]
    with pytest.raises(SinkError) as raised:
        connect(user).rows("test", sql, **settings) if sql.startswith("SELECT") else connect(user).command(
            "test", sql, **settings
        )
    assert raised.value.__cause__.code == code
    assert type(raised.value) is consequence_of(code)
    if code in FATAL:
        assert str(raised.value).endswith(FATAL[code].remedy)
    assert user == "default:" or user not in str(raised.value)


def test_a_user_from_elsewhere_is_refused(connect):
    """A user who may not connect from this address is Fatal."""
    with pytest.raises(Fatal):
        connect("distant:d").rows("test", "SELECT 1")


def test_a_killed_query_is_asked_again(connect):
    """A query that an operator killed is Retryable."""
    victim, killer, found = connect(), connect(), []

    def run():
        try:
            victim.rows("test", "SELECT sleepEachRow(0.11) FROM numbers(2000) SETTINGS max_block_size = 1")
        except SinkError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < deadline:
        killer.command("test", "KILL QUERY WHERE query LIKE 'SELECT sleepEachRow(0.11)%' SYNC")  # the server itself runs one
        time.sleep(0.05)
    thread.join(60)
    assert [type(error) for error in found] == [Retryable]
    assert found[0].__cause__.code == 394


def test_too_many_queries_at_once(connect):
    """A server at its limit of queries is Retryable."""
    first, second = connect(), connect()
    slow = "SELECT sleepEachRow(0.1) FROM numbers(2000) SETTINGS max_block_size = 1"

    def run():
        with suppress(Retryable):  # it is killed at the end
            first.rows("test", slow)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while not second.rows("test", "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow(0.1)%'")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(Retryable) as raised:
        second.rows("test", "SELECT 1", max_concurrent_queries_for_user=1)
    assert raised.value.__cause__.code == 202
    second.command("test", "KILL QUERY WHERE query LIKE 'SELECT sleepEachRow(0.1)%' SYNC")
    thread.join(60)
    assert not thread.is_alive()


def test_every_call_is_recorded(server):
    """Operation, outcome and duration of every call are reported, and a failed call has its own duration."""
    calls = []
    clickhouse = ClickHouse(
        Target.parse(f"http://127.0.0.1:{server.http_port}/codes", timeout=20), observer=lambda *call: calls.append(call)
    )
    clickhouse.rows("good", "SELECT 1")
    for operation, sql, settings in (
        ("passing", *CASES[159][1:]),
        ("refused", *CASES[469][1:]),
        ("stopping", *CASES[60][1:]),
    ):
        with pytest.raises(SinkError):
            clickhouse.command(operation, sql, **settings)
    clickhouse.close()
    assert [call[:2] for call in calls] == [
        ("good", "ok"),
        ("passing", "retryable"),
        ("refused", "refused"),
        ("stopping", "unknown"),
    ]
    # The server ended it after 0.2 s by a clock of its own; the call before it took some milliseconds.
    assert calls[1][2] >= 0.1
