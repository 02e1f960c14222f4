"""``python -m tests.clickhouse_cluster.up FOLDER``: the cluster of the tests until Ctrl-C, to try docs/cluster.md by hand."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from domain.errors import PortalPulseError
from tests.clickhouse_cluster.cluster import DEFAULT_DATABASE, Cluster
from tests.clickhouse_cluster.configuration import CLUSTER

#: In the folder: the settings of portalpulse, for a shell to read. It is there when the servers answer.
SETTINGS = "settings.sh"


def settings_of(cluster: Cluster) -> dict[str, str]:
    """The variables with which portalpulse uses this cluster."""
    urls = [[f"{url}/{DEFAULT_DATABASE}" for url in shard] for shard in cluster.urls]
    return {"PORTALPULSE_CLICKHOUSE__SHARDS": json.dumps(urls), "PORTALPULSE_CLICKHOUSE__CLUSTER": CLUSTER}


def main(arguments: list[str]) -> int:
    """Run two shards with two replicas and a ZooKeeper until SIGINT or SIGTERM; SIGHUP starts those that ended."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    folder = Path(arguments[0])
    asked = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    try:
        sys.stderr.write("Starting a ZooKeeper and four servers ...\n")
        with Cluster(folder) as cluster:
            lines = [f"export {name}='{value}'\n" for name, value in settings_of(cluster).items()]
            (folder / SETTINGS).write_text("".join(lines), encoding="utf-8")
            while True:
                for part in (*cluster.replicas, cluster.coordination):
                    sys.stdout.write(f"{part.process.name}: process {part.process.pid}\n")
                sys.stdout.write(f"Settings: {folder / SETTINGS}\n")
                sys.stdout.flush()
                if signal.sigwait(asked) != signal.SIGHUP:
                    return 0
                cluster.start()
    except PortalPulseError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
