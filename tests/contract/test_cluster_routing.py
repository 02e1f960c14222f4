"""A dossier belongs to the same shard in Python and in ClickHouse, by its code and by its number."""

from __future__ import annotations

import random

import pyarrow as pa

from sinks.clickhouse.client import ExternalTable
from sinks.clickhouse.cluster.routing import OF_CODE, OF_NUMBER, shard_of_codes, shard_of_number, shard_of_numbers
from sinks.clickhouse.dossier_sql import DOSSIER

SHARDS = 7


def test_python_and_sql_agree_on_the_shard_of_a_dossier(clickhouse):
    """Codes of any length and content, in pieces and with an offset in their array."""
    source = random.Random(1)
    texts = ["".join(chr(source.randrange(1, 0x2FFF)) for _ in range(source.randrange(41))) for _ in range(3_000)]
    codes = ["", "a", "12345678", "000.00.12.H17-240610-0042", "é" * 9, "x" * 300, *texts]
    rows = clickhouse.table(
        "test",
        f"SELECT dossier_code, {DOSSIER} AS dossier, {OF_CODE} % {SHARDS} AS by_code, {OF_NUMBER} % {SHARDS} AS by_number "
        "FROM codes",
        ExternalTable("codes", "dossier_code String", pa.table({"dossier_code": codes})),
    )
    expected = rows.column("by_code").to_pylist()
    assert rows.column("by_number").to_pylist() == expected
    assert shard_of_codes(rows.column("dossier_code"), SHARDS).tolist() == expected
    assert shard_of_codes(rows.column("dossier_code").combine_chunks()[5:], SHARDS).tolist() == expected[5:]
    assert shard_of_numbers(rows.column("dossier").combine_chunks()[3:], SHARDS).tolist() == expected[3:]
    assert [shard_of_number(dossier, SHARDS) for dossier in rows.column("dossier").to_pylist()] == expected
    assert set(expected) == set(range(SHARDS))
    assert shard_of_codes(pa.array([], pa.string()), SHARDS).tolist() == []
