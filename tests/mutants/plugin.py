"""A pytest plugin that changes one module's source as it is imported, and records how each test ended.

``MUTANT``: JSON of ``module``, ``old``, ``new`` (null: nothing is changed); ``MUTANT_VERDICTS``: the file that is written, JSON
of test node id -> "passed", or the names of what it raised. A module is changed only if ``old`` is in it exactly once.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

_verdicts: dict[str, str] = {}


class _Changed(SourceFileLoader):
    """Loads the changed source; never from, and never into, the cache of compiled files."""

    change: dict[str, str]

    def get_code(self, fullname):
        source = self.get_data(self.path).decode()
        if source.count(self.change["old"]) != 1:
            raise SystemExit(f"{fullname} holds {source.count(self.change['old'])} times: {self.change['old']}")
        _verdicts["changed"] = fullname
        return self.source_to_code(source.replace(self.change["old"], self.change["new"]).encode(), self.path)


class _Finder(MetaPathFinder):
    def __init__(self, change):
        self._change = change

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._change["module"]:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None, f"there is no module {fullname}"
        spec.loader = _Changed(fullname, spec.origin)
        spec.loader.change = self._change
        return spec


def pytest_collection_modifyitems(items):
    """Shorten the waits of tests for something that a mutant prevents."""
    if not _change:
        return
    for module in {item.module for item in items if hasattr(item.module, "PATIENCE")}:
        module.PATIENCE = 2.0


def pytest_runtest_makereport(item, call):
    """Remember how a test ended."""
    if call.excinfo is not None:
        _verdicts[item.nodeid] = ",".join(sorted(set(_leaves(call.excinfo.value))))
    elif call.when == "call":
        _verdicts[item.nodeid] = "passed"


def _leaves(error):
    if isinstance(error, BaseExceptionGroup):
        return [name for part in error.exceptions for name in _leaves(part)]
    return ["AssertionError" if isinstance(error, AssertionError) else type(error).__name__]


def pytest_unconfigure():
    """Write the verdicts."""
    Path(os.environ["MUTANT_VERDICTS"]).write_text(json.dumps(_verdicts))


# At import, which is before any conftest is read: these import what may have to be changed.
if _change := json.loads(os.environ.get("MUTANT", "null")):
    assert _change["module"] not in sys.modules
    sys.meta_path.insert(0, _Finder(_change))
# A counterexample is enough, the smallest one is not needed.
settings.register_profile(
    "mutant", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
