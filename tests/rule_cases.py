"""The promtool tests one by one, each with the rules that it needs alone: the others take most of the time."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from dashboards.rules.generate import COMMITTED

Change = Callable[[str, str], str]
#: The annotations of a rule; each is one line.
_ANNOTATIONS = re.compile(r"(?m)^    annotations:\n(?:      .*\n)+")
#: Test files in one run of promtool.
_AT_ONCE = 40


@functools.cache
def cases() -> dict[str, tuple[dict, dict]]:
    """Every promtool test by its name, with the file that it is in."""
    files = [yaml.load(path.read_bytes(), yaml.CSafeLoader) for path in sorted((COMMITTED / "tests").glob("*_test.yml"))]
    return {test["name"]: (test, file) for file in files for test in file["tests"]}


def _only(name: str) -> str:
    """The promtool file with the test ``name``, reduced to that test and with the rules in the current folder."""
    if name not in cases():
        pytest.fail(f"no promtool test is named {name!r}")
    test, file = cases()[name]
    files = [path.removeprefix("../") for path in file["rule_files"]]
    return json.dumps({**file, "rule_files": files, "tests": [test]})  # every JSON is YAML


def _needed(files: dict[str, dict], cases: str) -> dict[str, dict]:
    """The rules on which the test's answers depend; evaluating the others takes most of the time."""
    rules = [rule for file in files.values() for group in file["groups"] for rule in group["rules"]]
    kept: set[str] = set()
    text = cases
    while new := [rule for rule in rules if (name := rule.get("record") or rule["alert"]) in text and name not in kept]:
        kept |= {rule.get("record") or rule["alert"] for rule in new}
        text += " ".join(str(rule) for rule in new)
    if re.search(r'ALERTS(?!\{alertname=~?\\"[\w|]+\\")', cases):  # of alerts that are not named
        return files
    for file in files.values():
        for group in file["groups"]:
            group["rules"] = [rule for rule in group["rules"] if (rule.get("record") or rule["alert"]) in kept]
    return files


def written(folder: Path, *, test: str, change: Change = lambda _, text: text) -> Path:
    """The promtool file of one test, in ``folder`` beside the rules that it needs; ``change``: file name, text -> text."""
    folder.mkdir()
    chosen = _only(test)
    files = {}
    for path in COMMITTED.glob("*.yml"):
        text = change(path.name, path.read_text(encoding="utf-8"))
        if "exp_annotations" not in chosen:  # texts take much time
            text = _ANNOTATIONS.sub("", text)
        files[path.name] = yaml.load(text, yaml.CSafeLoader)
    for name, content in _needed(files, chosen).items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "test.yml").write_text(chosen, encoding="utf-8")
    return folder / "test.yml"


def outputs_of(promtool: Callable[..., CompletedProcess[str]], paths: Iterable[Path]) -> dict[Path, str]:
    """What promtool prints about each test file; failures go to stderr, without the file's name."""
    found: dict[Path, str] = {}
    ordered = list(paths)
    for begin in range(0, len(ordered), _AT_ONCE):
        run = promtool("test", "rules", *ordered[begin : begin + _AT_ONCE])
        parts = re.split(r"(?m)^Unit Testing:  (.+)$", run.stdout)
        found |= {
            Path(path): text + run.stderr * ("SUCCESS" not in text) for path, text in zip(parts[1::2], parts[2::2], strict=True)
        }
    return found
