"""``python -m tests.cluster``: the dossier tables on two shards of two replicas, each statement once, a few hundred dossiers.

    python -m tests.cluster [--folder FOLDER] [--dossiers 300] [--seed 1] [PART...]

Parts: ``reads``, ``statements`` and ``settings`` are modules; ``dossiers``: workers that crash and freeze while a replica is
killed and comes back; ``repair``; ``short``: the same dossiers without waits for replication, so that figures come out wrong;
``quorum``: inserts wait for both replicas, and reads for nothing. It needs about 1.5 GB and ten minutes; docs/cluster.md
explains the results. Exit code 1: something is not as that page says.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.clickhouse_cluster.cluster import Cluster
from tests.cluster.checks import Bench
from tests.cluster.databases import LOCAL
from tests.cluster.model import TABLES, ClusterModel, many_dossiers
from tests.cluster.reads import reads
from tests.cluster.repair import repaired
from tests.cluster.schema import create_tables
from tests.cluster.settings import settings
from tests.cluster.sharded import Shards
from tests.cluster.statements import statements

PARTS = ("reads", "statements", "settings", "dossiers", "repair", "short", "quorum")
#: The probability, at each step, that a replica begins to lag behind.
_LAG = 0.1


class Timed:
    """Sums the time of the calls to ClickHouse by operation, as their callers see it."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def __call__(self, operation: str, outcome: str, seconds: float) -> None:
        if outcome == "ok":
            self.calls[operation] += 1
            self.seconds[operation] += seconds

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {1000 * self.seconds[name] / calls:.1f} ms x {calls}" for name, calls in self.calls.most_common()
        )


def main(arguments: list[str]) -> int:
    """Run the parts and print their results."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--folder", type=Path, help="where the servers' data and logs go; kept")
    parser.add_argument("--dossiers", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # it prints a traceback for a refused connection
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="portalpulse-cluster-"))).resolve()
    cluster = Cluster(folder, database=LOCAL)
    wrong = 0
    try:
        began = time.monotonic()
        cluster.start()
        started = time.monotonic()
        create_tables(cluster)
        _say(f"4 servers answer after {started - began:.1f} s, all tables after {time.monotonic() - began:.1f} s")
        bench = Bench(cluster)
        for part in chosen.parts or PARTS:
            for kind, name, seen, as_expected in _run(part, bench, chosen):
                wrong += not as_expected
                _say(f"{'ok' if as_expected else 'NOT AS EXPECTED'}: {kind}: {name}: {seen}")
    finally:
        cluster.close()
        if not chosen.folder:
            shutil.rmtree(folder)
    return 1 if wrong else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(part: str, bench: Bench, chosen: argparse.Namespace) -> Iterator[tuple[str, str, str, bool]]:
    cluster = bench.cluster
    checks = {"reads": reads, "statements": statements, "settings": settings}
    if part in checks:
        for check in checks[part](bench):
            yield check.kind, check.name, check.seen, check.as_expected
    elif part == "repair":
        model = _model(cluster, chosen, Shards(cluster, random.Random(chosen.seed)))
        model.run_many(random.Random(chosen.seed), model.messages)
        yield from repaired(cluster, model)
    else:
        yield from _dossiers(part, cluster, chosen)


def _model(cluster: Cluster, chosen: argparse.Namespace, shards: Shards) -> ClusterModel:
    """A model with its messages, on empty tables."""
    for shard in cluster.shards:
        for table in TABLES:
            shard[0].query(f"TRUNCATE TABLE {LOCAL}.{table}", alter_sync=2)
    return ClusterModel(shards=shards, messages=many_dossiers(random.Random(chosen.seed), chosen.dossiers))


def _dossiers(part: str, cluster: Cluster, chosen: argparse.Namespace) -> Iterator[tuple[str, str, str, bool]]:
    victim = cluster.shards[0][1]
    failures: Counter[str] = Counter()
    timed = Timed()

    def failed(cause: str) -> None:
        text = cause.partition(": ")[2][:110]
        failures[text] += 1
        if "TIMEOUT" in cause and not victim.process.running:
            victim.launch()  # the other replica waits for what only this one has

    def acknowledged(share: float) -> None:
        if part != "dossiers":
            return
        if not events and share > 0.3:
            victim.process.kill()
            events.append("killed")
        elif events == ["killed"] and share > 0.6:
            if not victim.process.running:
                victim.launch()
            events.append("started")

    events: list[str] = []
    options = {"insert_quorum": 2, "insert_quorum_timeout": 20_000} if part == "quorum" else {}
    shards = Shards(
        cluster, random.Random(chosen.seed), sync=part == "dossiers", settings=options, on_failure=failed, observer=timed
    )
    model = _model(cluster, chosen, shards)
    model.lag, model.on_acknowledged = (0.0 if part == "quorum" else _LAG), acknowledged
    began = time.monotonic()
    model.run_many(random.Random(chosen.seed), model.messages)
    seconds = time.monotonic() - began
    if not victim.process.running:
        victim.launch()
    victim.await_ready()
    wrong = model.wrong()
    codes = {message.dossier_code for message in model.messages}
    two = sum(len({message.agency for message in model.messages if message.dossier_code == code}) > 1 for code in codes)
    name = (
        f"{len(codes)} dossiers ({two} of two agencies), {dict(model.seen)}, {seconds:.0f} s, {' and '.join(events) or 'no kill'}"
    )
    tallies = f"wrong tallies {wrong}; calls that failed and were repeated {dict(failures)}; {timed}"
    yield part, name, tallies, (sum(wrong.values()) > 0) == (part == "short")
    shards.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
