"""Runs pytest for mutants, each time in a fork of this process, which has imported the libraries once and nothing of the project.

Reads jobs from standard input, one JSON object a line, and writes an outcome for each, as JSON lines, in any order. A job:
number, tests, environment. An outcome: number and what pytest printed. ``AT_ONCE`` jobs run at the same time.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import tempfile

AT_ONCE = os.cpu_count() or 1
#: What the tests of most mutants import; it takes longer than most of these tests. Not chdb: an engine does not survive a fork.
LIBRARIES = (
    *("numpy", "pandas", "pyarrow", "pyarrow.compute", "msgspec", "yaml", "holidays"),
    *("pytest", "_pytest.assertion.rewrite", "hypothesis.stateful", "pytest_asyncio.plugin", "pytest_timeout", "xdist.plugin"),
    *("pydantic_settings", "structlog", "typer", "rich.console", "stamina", "httpx", "aiohttp.web", "prometheus_client"),
    *("clickhouse_connect", "aiokafka", "confluent_kafka", "openpyxl", "jinja2", "xlsxwriter"),
)
#: Packages of the project: a mutant changes a module while it is imported, so none may be here.
OURS = ("domain", "sinks", "pipeline", "producers", "dashboards", "deploy")


def main() -> None:
    """Run all jobs."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not set(OURS) & {name.partition(".")[0] for name in sys.modules}
    gc.freeze()
    running: dict[int, tuple[int, int]] = {}
    waiting = [json.loads(line) for line in sys.stdin]
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            job = waiting.pop(0)
            output = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR)
            child = os.fork()
            if child == 0:
                _run(job, output)
            running[child] = (job["number"], output)
        child, _ = os.wait()
        number, output = running.pop(child)
        os.lseek(output, 0, os.SEEK_SET)
        with os.fdopen(output, errors="replace") as file:
            sys.stdout.write(json.dumps({"number": number, "printed": file.read()}) + "\n")
        sys.stdout.flush()


def _run(job, output: int) -> None:
    """One job, in the child: never returns."""
    try:
        import pytest

        os.environ.update(job["environment"])
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        pytest.main(["-q", "-x", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider", *job["tests"]])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
