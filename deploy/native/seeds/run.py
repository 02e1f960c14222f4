"""``portalpulse seeds``: simulates the dossiers of each published document, asks the product, and compares every figure.

Each document has a stack of its own: real Kafka, a worker with ClickHouse in it, nothing shared. Its portals send all dossiers
with the faults of real portals, its service catalogue is loaded from a file, and the report over HTTP must be final.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from deploy.native.phases import SentBar, json_of, phase, steps
from deploy.native.processes import wait_until
from deploy.native.seeds.answers import Answers
from deploy.native.seeds.figures import Figure, compare, passed
from deploy.native.seeds.sub_units import online_dossiers_by_sub_unit
from deploy.native.seeds.tables import summary, table_of
from deploy.native.stack import LocalStack
from deploy.native.stack_options import StackOptions
from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.figure_group import Grouping
from pipeline.catalogue.files import read_catalogue
from pipeline.catalogue.json_format import entry_as_dict
from pipeline.catalogue.recount import recount_all
from pipeline.cli.remote import Process
from pipeline.cli.remote_catalogue import RemoteCatalogue
from pipeline.shutdown import stopped_by_signals
from producers.portals.catalogue_file import catalogue_csv
from producers.portals.documents import Document, load_document
from producers.portals.dossier_faults import DossierFault, FaultShares
from producers.portals.produce import produce, scenario_catalogue, scenario_messages, stream_of, to_broker
from producers.portals.simulate import ScenarioStream
from producers.portals.truth import Truth
from producers.sending.worker_processes import Broker

SEED: Final = 1
PARTITIONS: Final = 4
#: Longest time until every message is counted, and until the report says that its figures are final (seconds).
COUNT_SECONDS: Final = 300.0
FINAL_SECONDS: Final = 60
#: Longest answer: a catalogue of a hundred thousand rows is loaded (seconds).
ANSWER_SECONDS: Final = 180.0
#: Every fault of real portals but one: where no message has a level, the level of the procedure in the catalogue may decide,
#: and the documents do not say how many such dossiers there were.
SHARES: Final = FaultShares({**FaultShares.realistic().shares, DossierFault.NO_LEVEL: 0.0})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stacks run: each document's stack has a folder of its own below ``folder``."""

    folder: Path
    topic: str
    group: str

    def options(self, name: str) -> StackOptions:
        """The options of a document's stack, which let no setting of the caller change a figure."""
        return StackOptions(data_dir=self.folder / name, topic=self.topic, group=self.group, partitions=PARTITIONS, inherit=False)


def seeds(names: Sequence[str], place: Place, *, console: Console) -> bool:
    """Run some documents; returns whether every figure that can be right is right.

    Raises:
        PortalPulseError: a stack cannot start, a service ended by itself, or the figures did not become final.
        KeyboardInterrupt: stopped.
    """
    started = time.monotonic()
    results: list[tuple[Document, tuple[Figure, ...]]] = []
    documents = [(name, load_document(name)) for name in names]
    with stopped_by_signals():
        for name, document in documents:
            console.print(f"[bold]{name}[/bold]: {document.title}")
            answers = answers_of(name, document, place.options(name), console=console)
            figures = compare(document, answers)
            console.print(table_of(document, figures))
            results.append((document, figures))
    console.print(summary(results, seconds=time.monotonic() - started))
    return bool(results) and all(passed(figures) for _, figures in results)


def answers_of(name: str, document: Document, options: StackOptions, *, console: Console) -> Answers:
    """Run the scenario of a document on a stack of its own, and ask for every figure of the document.

    Args:
        name: of the packaged scenario.
        document: the document whose figures are asked for.
        options: of the stack; its folder is emptied.
        console: shows the progress.

    Raises:
        PortalPulseError: the stack cannot start, a service ended by itself, or the figures did not become final.
    """
    with LocalStack(options) as stack, httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client:
        stack.folder.wipe_for_demo()
        with phase("Kafka, worker and ClickHouse", console=console), console.status("Starting every service"):
            stack.start_broker()
            stack.start_counting()
        rows = scenario_catalogue(name, seed=SEED, shares=SHARES)
        with (
            phase(f"{len(rows):,} rows of the service catalogue loaded", console=console),
            console.status("Loading the catalogue"),
        ):
            path = stack.folder.path / "catalogue.csv"
            path.write_text(catalogue_csv(rows), encoding="utf-8")
            _load_catalogue(stack, path)
        messages = scenario_messages(name, seed=SEED, shares=SHARES)
        truth = Truth.of(messages, seed=SEED)
        with phase(f"{truth.messages:,} messages of {truth.dossiers:,} dossiers produced", console=console):
            _produce(stack, messages, options.topic, console=console)
        with phase("Every message stored and counted", console=console):
            _await_counts(client, stack, truth, console=console)
        with phase("Every figure asked for", console=console), console.status("Asking for every figure"):
            answers = _ask(client, stack, document)
        stack.check()
    return answers


def _produce(stack: LocalStack, messages: ScenarioStream, topic: str, *, console: Console) -> None:
    """Send the messages of the scenario.

    Raises:
        UnavailableError: not every message was acknowledged.
    """
    with steps(console) as bar:
        stream = stream_of(messages, seed=SEED, rate=None)
        report = produce(stream, seed=SEED, send=to_broker(Broker((stack.bootstrap,), topic)), progress=SentBar(bar))
    if not report.complete:
        raise UnavailableError(
            f"{report.sent - report.result.acknowledged:,} of {report.sent:,} messages were not confirmed by Kafka"
            f" ({report.result.problem or 'interrupted'}).",
            remedy=f"See the logs below {stack.folder.path / 'logs'}.",
        )


def _await_counts(client: httpx.Client, stack: LocalStack, truth: Truth, *, console: Console) -> None:
    """Wait until every message is acknowledged by the worker: stored, tallied in every tier, and corrected."""
    with steps(console) as bar:
        task = bar.add_task("counted", total=truth.messages)

        def counted() -> bool:
            stack.check()
            status = json_of(client, f"{stack.api}/api/v1/status")
            lag = status["consumer_lag"]
            if lag is None:
                return False
            bar.update(task, completed=truth.messages - lag)
            return bool(lag == 0 and status["events"]["stored"] >= truth.events)

        wait_until(counted, timeout=COUNT_SECONDS, what=f"{truth.messages:,} messages to be counted")


def _load_catalogue(stack: LocalStack, path: Path) -> None:
    """Load a catalogue file as ``portalpulse catalogue load`` does, including the recount of stored dossiers.

    Raises:
        ConfigurationError: the file is wrong.
        UnavailableError: the process does not accept it.
    """
    read = read_catalogue(path, AgencyRegistry.packaged())
    catalogue = RemoteCatalogue(Process(stack.api))
    catalogue.load([entry_as_dict(entry) for entry in read.entries], source=path.name)
    recount_all(catalogue.recount, sorted({entry.agency for entry in read.entries}))


def _ask(client: httpx.Client, stack: LocalStack, document: Document) -> Answers:
    """Ask for every figure of a document.

    Raises:
        UnavailableError: there is no answer, or the figures are not final.
    """
    answers = Answers()
    before = None
    for each in document.periods:
        days = {"from": str(each.start), "to": str(each.end)}
        compared: dict[str, str] = {} if before is None else {"compare": f"{before.start}..{before.end}"}
        rows = _report(client, stack, **days, **compared)
        answers.add_report(each.id, rows, before="" if before is None else before.id)
        for units in sorted({fact.units for fact in document.facts if fact.units and fact.period == each.id}):
            answers.add_report(each.id, _report(client, stack, **days, units=units), units=units)
        for code in sorted({fact.code for fact in document.facts if fact.code}):
            if document.level_1_2 is not None:
                found = json_of(client, f"{stack.api}/api/v1/catalogue", day=str(each.end), agency=code)
                answers.services[each.id, code] = found["counts"]
        before = each
    if document.subunits:
        (each,) = document.periods
        days = {"from": str(each.start), "to": str(each.end)}
        divided = _final(client, stack, **days, figures="due", by=Grouping.SUB_UNIT.value)
        for code in sorted({fact.code for fact in document.facts if fact.code}):
            answers.sub_units[code] = online_dossiers_by_sub_unit(divided, code)
    return answers


def _report(client: httpx.Client, stack: LocalStack, **parameters: str) -> list[dict[str, Any]]:
    """The rows of a report.

    Raises:
        UnavailableError: there is no answer, or the figures are not final.
    """
    rows: list[dict[str, Any]] = _final(client, stack, **parameters)["rows"]
    return rows


def _final(client: httpx.Client, stack: LocalStack, **parameters: str) -> dict[str, Any]:
    """A report whose figures are final.

    Raises:
        UnavailableError: there is no answer, or the figures are not final.
    """
    report: dict[str, Any] = json_of(client, f"{stack.api}/api/v1/report", wait=str(FINAL_SECONDS), **parameters)
    completeness = report["completeness"]
    if not completeness["final"]:
        reasons = " ".join(reason["text"] for reason in completeness["reasons"])
        raise UnavailableError(f"The figures are not final: {reasons}", remedy="See the logs of the stack.")
    return report
