"""The steps of a worker that has stored one message and has not counted it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from pipeline.decode.decoder import Decoder
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from tests.factories import LATEST, TOPIC, a_message
from tests.fakes import MemoryBatch


def stored_message(store, index, registry, acknowledge):
    """Steps that have stored one message and resolved its dossier, and counted nothing; ``acknowledge`` as in ``IngestSteps``."""
    steps = IngestSteps(
        decoder=Decoder(registry),
        store=store,
        index=index,
        settings=IngestSettings(),
        metrics=WorkerMetrics(CollectorRegistry()),
        clock=ManualClock(LATEST),
        acknowledge=acknowledge,
    )
    message = a_message()
    fetch = Fetch(TOPIC, 0, [MemoryBatch(0, (message,))], 1, len(message), "receipt")
    steps.offer(fetch)
    steps.store(*steps.decode([fetch]))
    steps.dossiers.round()
    return steps
