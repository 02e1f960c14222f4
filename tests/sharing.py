"""How several processes (`pytest -n`) share the tests: which stay together, and which begin first."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: Tests that run whole stacks: one process runs them all, since two stacks at once would need more than two cores.
STACKS = (
    "tests/integration/alerts/",
    "tests/integration/faults/",
    "tests/integration/scenario/",
    "tests/integration/test_demo.py",
    "tests/integration/test_first_example.py",
    "tests/integration/test_folder_names.py",
    "tests/integration/test_local_stack.py",
    "tests/integration/test_seeds.py",
)
#: Tests that share a ClickHouse cluster.
CLUSTER = "tests/integration/cluster/"
#: What begins first, the longest first, so that no process is left with a long group at the end.
LONG_FIRST = (
    "tests/integration/faults/test_worker_faults.py",  # in long runs; reads a whole topic, which grows with each fault
    *STACKS,
    "tests/integration/silence/",
    "tests/integration/",
    "tests/mutants/",
    "tests/contract/",
    "tests/property/",
)


def group(nodeid: str) -> str:
    """The tests of one group run in one process, one after the other: those of a file, of ``STACKS``, or of ``CLUSTER``."""
    file = nodeid.partition("::")[0]
    if file.startswith(CLUSTER):
        return "cluster"
    return "stacks" if file.startswith(STACKS) else file


def turn(nodeid: str) -> int:
    """When a test's turn is among the others."""
    return next((turn for turn, start in enumerate(LONG_FIRST) if nodeid.startswith(start)), len(LONG_FIRST))


class Groups(LoadScopeScheduling):
    """Hands out one group after the other in the order in which they were collected."""

    def __init__(self, config, log=None):
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid):
        return group(nodeid)
