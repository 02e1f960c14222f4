"""No program at all: ClickHouse reads the topic itself (Kafka table engine) and materialized views store and count.

Blocks as large as the tuning in the project's design notes; DETACH and ATTACH are its stop and start.
"""

from __future__ import annotations

from bench.contenders.contract import Contender, RunContext
from bench.contenders.peers import create_tables, increments, tallies
from bench.contenders.tables import COLUMNS, FIELDS

_CONSUMERS = 2


class KafkaEngine(Contender):
    """A Kafka table, a view that fills the events, and the view that counts them, as for every other peer."""

    def __init__(self, context: RunContext) -> None:
        super().__init__(context)
        self.progress = increments(context.database)
        self.stored = f"SELECT count() FROM {context.database}.events"
        self.tallies = tallies(context.database)
        self._attached_before = False

    def prepare(self) -> None:
        """Create the tables that are written to."""
        create_tables(self.context)

    def start(self) -> None:
        """Create the Kafka table and then its view, which starts the reading. After a stop: attach the table again."""
        query, database = self.context.stack.server.query, self.context.database
        if self._attached_before:
            query(f"ATTACH TABLE {database}.queue")
            return
        query(
            f"CREATE TABLE {database}.queue ({FIELDS}) ENGINE = Kafka SETTINGS"
            f" kafka_broker_list = '{self.context.stack.kafka.bootstrap}',"
            f" kafka_topic_list = '{self.context.topic}', kafka_group_name = '{self.context.group}',"
            f" kafka_format = 'JSONEachRow', kafka_num_consumers = {_CONSUMERS}, kafka_max_block_size = 524288,"
            " kafka_poll_max_batch_size = 65536, kafka_flush_interval_ms = 1000, date_time_input_format = 'best_effort'"
        )
        query(
            f"CREATE MATERIALIZED VIEW {database}.reading TO {database}.events AS"
            f" SELECT {', '.join(COLUMNS)} FROM {database}.queue"
        )
        self._attached_before = True

    def stop(self) -> None:
        """Detach: the consumers finish their block and leave the group."""
        self.context.stack.server.query(f"DETACH TABLE IF EXISTS {self.context.database}.queue SYNC", timeout=120.0)
