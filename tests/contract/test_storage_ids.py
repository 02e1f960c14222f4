"""What tells a storage from others, on every kind of storage."""

from __future__ import annotations

import uuid

from tests.contract.clustered import storage_of


def test_a_storage_has_an_id_that_stays(clickhouse):
    """It is a UUID, the same for every process; those that several migrations at once added come after it."""
    storage = storage_of(clickhouse)
    before = storage.ids()
    assert [str(uuid.UUID(identity)) for identity in before] == list(before) != []
    assert storage_of(clickhouse).ids() == before
    second = str(uuid.uuid4())
    clickhouse.command("test", f"INSERT INTO storage_ids (id) SELECT toUUID('{second}')")
    assert storage.ids() == (*before, second)


def test_two_storages_have_different_ids(embedded, served):
    """Nothing of an id comes from what two storages may have alike."""
    assert set(storage_of(embedded).ids()).isdisjoint(storage_of(served).ids())
