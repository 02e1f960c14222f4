"""Positions of events in Kafka."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.event_rows import OffsetRange, with_positions
from tests.factories import an_event, events_table


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), st.integers(0, 10**12), st.integers(1, 5)),
        min_size=1,
        max_size=5,
    ),
    st.data(),
)
def test_every_event_gets_the_position_it_came_from(ranges, data):
    """Topic, partition and offset of each event are those of its message, also with rejected messages in between."""
    origin = [(topic, partition, first + n) for topic, partition, first, count in ranges for n in range(count)]
    kept = sorted(data.draw(st.sets(st.integers(0, len(origin) - 1), min_size=1)))
    events = events_table([an_event() for _ in kept])
    at = events.column_names.index("position")
    events = events.set_column(at, events.schema.field(at), pa.array(kept, pa.int32()))
    rows = with_positions(events, [OffsetRange(*each) for each in ranges])
    found = [(row["topic"], row["partition"], row["offset"]) for row in rows.to_pylist()]
    assert found == [origin[position] for position in kept]
    assert "position" not in rows.column_names
    assert rows.column("dossier_code").to_pylist() == events.column("dossier_code").to_pylist()
