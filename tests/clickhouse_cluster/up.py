"""``python -m tests.clickhouse_cluster.up FOLDER``: the cluster of the tests until Ctrl-C, to try docs/cluster.md by hand."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from domain.errors import PortalPulseError
from tests.clickhouse_cluster.cluster import DEFAULT_DATABASE, Cluster
from tests.clickhouse_cluster.configuration import CLUSTER


def settings_of(cluster: Cluster) -> dict[str, str]:
    """The variables with which portalpulse uses this cluster."""
    urls = [[f"{url}/{DEFAULT_DATABASE}" for url in shard] for shard in cluster.urls]
    return {"PORTALPULSE_CLICKHOUSE__SHARDS": json.dumps(urls), "PORTALPULSE_CLICKHOUSE__CLUSTER": CLUSTER}


def main(arguments: list[str]) -> int:
    """Start two shards with two replicas and a ZooKeeper; print the settings and the process of each server."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.stderr.write("Starting a ZooKeeper and four servers ...\n")
        with Cluster(Path(arguments[0])) as cluster:
            for name, value in settings_of(cluster).items():
                sys.stdout.write(f"export {name}='{value}'\n")
            for replica in cluster.replicas:
                sys.stdout.write(f"# {replica.name}: {replica.url}, process {replica.process.pid}\n")
            sys.stdout.write(f"# ZooKeeper: process {cluster.coordination.process.pid}\n")
            sys.stdout.flush()
            signal.pause()
    except PortalPulseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
