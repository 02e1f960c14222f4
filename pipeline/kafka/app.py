"""Makes the Faust app of one worker: its settings and its one agent. Importing this module changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faust
import yarl

from pipeline.ingest.fetch import Fetch
from pipeline.ingest.memory_budget import MemoryBudget
from pipeline.kafka.assignor import ExistingPartitionsAssignor
from pipeline.kafka.faust_credentials import faust_credentials
from pipeline.kafka.group_members import CLIENT_ID
from pipeline.kafka.group_storage import GroupStorage
from pipeline.kafka.transport import BatchTransport, RecordUnread
from pipeline.settings import KafkaSettings

#: Longest time between two fetches before the group reassigns the partitions (seconds). A worker that waits for its storage
#: sends heartbeats and must keep its partitions, however long the storage is unavailable.
_MAX_POLL_INTERVAL = 86_400.0
#: The answer to a heartbeat tells a worker that the group gives its partitions out again; until every worker knows, none reads.
_HEARTBEAT_SECONDS = 1.0
#: Faust compares the address of a worker with the one that it had when it was given its partitions; after a restart a static
#: member may have another host. Nothing listens there.
_NO_ADDRESS = "http://worker.invalid"
#: How aiokafka and Faust begin to say that a topic does not exist.
_MISSING_TOPIC = ("Topic %s not found in cluster metadata", "Ignoring missing topic")


def create_app(
    settings: KafkaSettings,
    *,
    topics: Sequence[str],
    offer: Callable[[Fetch], None],
    fail: Callable[[BaseException], None],
    record_unread: RecordUnread,
    budget: MemoryBudget,
    data_dir: Path,
    loop: asyncio.AbstractEventLoop,
    group_storage: GroupStorage | None = None,
) -> faust.App:
    """The app with its one agent, which passes every fetch to ``offer`` and acknowledges nothing by itself.

    Args:
        settings: brokers and group.
        topics: the topics that are read. A topic that does not exist yet is read from its beginning once it exists.
        offer: called with every fetch.
        fail: called with an error of the agent, to end the worker: Faust would restart the agent after the messages that it had.
        record_unread: see ``BatchTransport``.
        budget: the memory budget; nothing is fetched while it is full.
        data_dir: the folder of data, in which Faust gets a folder that stays empty.
        loop: the event loop of the worker.
        group_storage: the storage to which the offsets of the group must belong; None: they may belong to any.
    """
    if len(topics) > 1:
        _expect_missing(topics)
    url = [yarl.URL(f"kafka://{address}") for address in settings.bootstrap]
    app = faust.App(
        settings.group,
        broker=url,
        broker_client_id=CLIENT_ID,
        broker_credentials=faust_credentials(settings),
        loop=loop,
        store="memory://",
        datadir=_literal(data_dir),  # otherwise Faust creates a folder in the working directory
        web_enabled=False,
        canonical_url=_NO_ADDRESS,
        consumer_group_instance_id=settings.instance_id or None,
        PartitionAssignor=ExistingPartitionsAssignor,
        # Workers share only a group: no leader topic, no tables.
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=settings.partitions,
        broker_max_poll_records=100_000,  # counts record batches
        broker_max_poll_interval=_MAX_POLL_INTERVAL,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=_HEARTBEAT_SECONDS,
        broker_commit_interval=0.5,
        consumer_max_fetch_size=settings.fetch_bytes,
        consumer_metadata_max_age_ms=int(settings.metadata_max_age_seconds * 1000),
        stream_wait_empty=False,  # what is not counted is redelivered; waiting would only delay the stop
        stream_buffer_maxsize=100_000,
        stream_processing_timeout=_MAX_POLL_INTERVAL,  # the watchdog detects stuck workers
        broker_commit_livelock_soft_timeout=_MAX_POLL_INTERVAL,
    )
    app.transport = BatchTransport(
        url,
        app,
        topics=topics,
        budget=budget,
        record_unread=record_unread,
        fetch_min_bytes=settings.fetch_min_bytes,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        leave_on_stop=settings.leave_on_stop,
        group_storage=group_storage,
        fail=fail,
    )
    topic = app.topic(*topics, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")

    @app.agent(topic, name="ingest", concurrency=1)  # type: ignore[untyped-decorator] # Faust is untyped here
    async def ingest(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                offer(_fetch_of(event))
        except Exception as error:
            fail(error)
            raise

    return app


def _expect_missing(topics: Sequence[str]) -> None:
    """Keep Faust and aiokafka from logging at every refresh of metadata that some portals have no topic yet."""
    expected = frozenset(topics)

    def unexpected(record: logging.LogRecord) -> bool:
        missing = str(record.msg).startswith(_MISSING_TOPIC) and isinstance(record.args, tuple) and record.args[0] in expected
        return not missing

    for name in ("aiokafka.cluster", "faust.assignor.partition_assignor"):
        logging.getLogger(name).addFilter(unexpected)


def _literal(folder: Path) -> Path:
    """The path of a folder escaped for Faust, which would format braces and expand a tilde in it."""
    return Path(str(folder.absolute()).replace("{", "{{").replace("}", "}}"))


def _fetch_of(event: Any) -> Fetch:
    """The fetch in an event of the stream. Removes the batches from the event, which lives until it is acknowledged."""
    message = event.message
    batches: Sequence[Any] = message.value
    event.value = message.value = None
    return Fetch(
        topic=message.topic,
        partition=message.partition,
        batches=batches,
        messages=sum(batch.messages for batch in batches),
        size=sum(batch.size for batch in batches),
        receipt=message,
        assignment=message.begun,
    )
