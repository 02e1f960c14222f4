"""Documentation against the code: a page that says something else than the program is a fault."""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel, SecretStr

from bench.chaos.fault import all_faults
from domain import events
from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS
from domain.findings import MEANINGS
from domain.indicators import ALL_INDICATORS, Ratio
from domain.metric_names import METRICS
from domain.rounding import Rounding, percent
from pipeline.cli.main import create_cli
from pipeline.settings import PREFIX, Settings, ThresholdPolicy
from producers.portals.documents import available_scenarios, load_document
from sinks.contract.tallies import Counts
from tests.reports import report_of

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = ("messages", "settings", "metrics", "glossary", "domain", "guarantees", "reports", "audit", "catalogue", "seeds")
PAGES += ("doctor", "upgrade", "sizing")


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def table_lines(text: str) -> list[str]:
    """Table lines whose first cell is code."""
    return [line.strip() for line in text.splitlines() if line.startswith("| `")]


# ---- settings


def shown_default(value: object) -> str:
    """A default as the page shows it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return json.dumps([policy.model_dump() for policy in value])
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown_range(metadata: list[object]) -> str:
    """The bounds of a field as the page shows them."""
    low = high = ""
    for bound in metadata:
        if hasattr(bound, "pattern"):
            return bound.pattern.strip("^$()").replace("|", ", ")
        if hasattr(bound, "ge"):
            low = f"{bound.ge:,}".replace(".0", "")
        elif hasattr(bound, "gt"):
            low = f"above {bound.gt:,}"
        elif hasattr(bound, "le"):
            high = f"{bound.le:,.10g}"
        elif hasattr(bound, "min_length"):
            low = f"{bound.min_length}"
        elif hasattr(bound, "max_length"):
            high = f"{bound.max_length} characters"
    if low and high:
        return f"{low} to {high}"
    return low if low.startswith("above") else f"at least {low}" if low else ""


def settings_lines(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> list[str]:
    """The lines that docs/settings.md must hold, in their order."""
    lines = []
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += settings_lines(field.annotation, f"{variable}__")
        else:
            lines.append(
                f"| `{variable}` | `{shown_default(field.default)}` | {shown_range(field.metadata)} | {field.description} |"
            )
    return lines


def test_every_setting_is_documented():
    """docs/settings.md lists every variable with default, range and sentence, as the code has them, and no other."""
    assert [line for line in table_lines(page("settings")) if PREFIX in line] == settings_lines()


def test_every_part_of_a_threshold_is_documented():
    """The fields of a threshold policy are listed the same way."""
    expected = [
        f"| `{name}` | `{shown_default(field.default)}` | {shown_range(field.metadata)} | {field.description} |"
        for name, field in ThresholdPolicy.model_fields.items()
    ]
    assert [line for line in table_lines(page("settings")) if PREFIX not in line] == expected


# ---- metrics


def metric_lines(source: str) -> list[str]:
    """The lines that docs/metrics.md must hold."""
    return [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in METRICS.values()
        if metric.source == source
    ]


def test_every_metric_is_documented():
    """docs/metrics.md lists every metric with kind, labels and sentence, as the code has them, and no other."""
    text = page("metrics")
    head, tail = text.split("## Worker", maxsplit=1)
    assert table_lines(head) == metric_lines("exporter")
    assert [line for line in table_lines(tail) if "portalpulse_" in line] == metric_lines("worker")


def test_the_kinds_of_findings_are_documented():
    """Every kind of finding has its line in docs/domain.md with the meaning that the help gives, and there is no other."""
    section = page("domain").split("### Findings", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    listed = re.findall(r"^\| `([a-z_]+)` \| (.+?)\. \| ", section, re.MULTILINE)
    assert listed == [(kind.value, meaning[0].upper() + meaning[1:]) for kind, meaning in MEANINGS.items()]


def test_the_columns_of_the_catalogue_are_documented():
    """Every column of a catalogue's file has its line in docs/catalogue.md, in order, and there is no other."""
    lines = table_lines(page("catalogue"))
    assert tuple(re.findall(r"`([a-z_]+)`", " ".join(line.split("|")[1] for line in lines))) == COLUMNS


def test_the_reasons_of_dead_letters_are_documented():
    """Every reason of the closed list has its line in docs/metrics.md, and there is no other."""
    listed = re.findall(r"^\| `([a-z0-9_]+)` \| [A-Z]", page("metrics").split("## Reasons", maxsplit=1)[1], re.MULTILINE)
    assert listed == [reason.value for reason in events.Reason]


# ---- glossary and domain


def test_the_glossary_holds_the_code_lists():
    """Every status, channel, level and way of return stands in the glossary with the official word beside its code."""
    text = page("glossary")
    source = (ROOT / "domain/events.py").read_text(encoding="utf-8")
    found = re.findall(r'^    ([A-Z_]+) = ("?\w+"?)  # (.+)$', source, re.MULTILINE)
    official = {name: (value.strip('"'), words) for name, value, words in found}
    assert len(official) == 16
    for name, (value, words) in official.items():
        assert re.search(rf"^\| {re.escape(words)} \| .*`{value}` \|$", text, re.MULTILINE), (name, value, words)


def test_names_in_the_glossary_exist():
    """Every dotted name that the glossary points to is in the code."""
    for module, name in re.findall(r"`((?:domain|pipeline|sinks)[a-z_.]*)\.([A-Za-z_]+)`", page("glossary")):
        path = ROOT / (module.replace(".", "/") + ".py")
        defined = {
            target
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for target in (
                [node.name]
                if isinstance(node, ast.ClassDef | ast.FunctionDef)
                else [node.target.id]
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
                else [part.id for part in node.targets if isinstance(part, ast.Name)]
                if isinstance(node, ast.Assign)
                else []
            )
        }
        assert name in defined, f"{module}.{name}"


def test_the_domain_page_states_the_registry():
    """The numbers of units that report, as docs/domain.md names them, are those of the packaged registry on those days."""
    registry = AgencyRegistry.packaged()
    found = re.findall(r"^\| (\d{4}-\d{2}-\d{2}) \| (\d+) \| (\d+) \|", page("domain"), re.MULTILINE)
    assert len(found) >= 3
    for day, ministries, provinces in found:
        blocks = [agency.block for agency in registry.expected(dt.date.fromisoformat(day))]
        assert (blocks.count("ministry"), blocks.count("province")) == (int(ministries), int(provinces)), day


def test_the_domain_page_rounds_as_the_code_does():
    """The worked examples of rounding come out of the code as they are printed."""
    found = re.findall(r"^\| ([\d,]+) / ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|", page("domain"), re.MULTILINE)
    assert len(found) >= 3
    for numerator, denominator, half_up, truncated in found:
        ratio = Ratio(int(numerator.replace(",", "")), int(denominator.replace(",", "")))
        for printed, rounding in ((half_up, Rounding.HALF_UP), (truncated, Rounding.CUT)):
            decimals = len(printed.partition(".")[2])
            assert percent(ratio, decimals=decimals, rounding=rounding) == printed


def test_the_domain_page_names_every_indicator():
    """Every indicator that is counted has its official name in docs/domain.md."""
    for indicator in ALL_INDICATORS.values():
        assert f"**{indicator.code}**" in page("domain")
        assert indicator.name_vi in page("domain")


# ---- guarantees and reports


def test_every_guarantee_names_its_test():
    """Each promise of docs/guarantees.md points to tests that exist; none stands there on its word alone."""
    text = page("guarantees")
    promises = [line for line in text.splitlines() if re.match(r"^\| \d+ \|", line)]
    assert len(promises) >= 15
    for line in promises:
        shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert shown, line
        for path, name in shown:
            assert re.search(rf"\b(?:def|class) {name}\b|^{name} = ", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (
                name
            )


def test_every_fault_is_documented():
    """Every fault that `make chaos` knows has its line in docs/guarantees.md with a test that exists, and there is no other."""
    lines = re.findall(r"^\| `([a-z0-9-]+)` \|.*$", page("guarantees"), re.MULTILINE)
    assert sorted(lines) == sorted(all_faults())
    for line in re.findall(r"^\| `[a-z0-9-]+` \|.*$", page("guarantees"), re.MULTILINE):
        shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert shown, line
        for path, name in shown:
            assert re.search(rf"\bdef {name}\b", (ROOT / path).read_text(encoding="utf-8")), name


class _Figures:
    def counts_of_days(self, *_):
        return {"H17": Counts(events=9000, settled=5000, settled_full=3247)}

    def active_days(self, *_):
        return {}


def test_the_example_of_a_report_is_one():
    """The JSON of docs/reports.md has exactly the fields of a real report, and its lines are lines of one."""
    example = json.loads(re.search(r"```json\n(.*?)```", page("reports"), re.DOTALL)[1])
    real = report_of(_Figures(), from_=example["period"]["from"], to=example["period"]["to"]).as_dict()
    assert set(example) == set(real)
    assert {row["scope"] for row in example["rows"]} == {"agency", "block", "nation"}
    for row in example["rows"]:
        assert row in real["rows"]


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_points_to_exists(name):
    """Paths and pages that a page names are there."""
    text = page(name)
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        assert (DOCS / target).exists(), target
    for path in re.findall(r"`((?:pipeline|sinks|producers|dashboards|deploy|tests|docs)/[\w./-]+)`", text):
        assert (ROOT / path.split("::")[0]).exists(), path


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_no_machine(name):
    """No page holds a path of somebody's machine."""
    assert not re.search(r"(?<![\w.`])/(?:home|root|work|tmp|Users)/", page(name))


def test_every_printed_figure_is_documented():
    """docs/seeds.md lists every scenario and every number that its document prints, with the words of the document."""
    text = page("seeds")
    for name in available_scenarios():
        document = load_document(name)
        section = text.split(f"## `{name}`", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
        printed = [fact.printed.text for fact in document.facts if fact.printed is not None]
        bounds = [fact.bound.text for fact in document.facts if fact.bound is not None]
        claims = [claim.text for claim in document.claims if claim.reason in {"bound", "contradiction"}]
        for words in (*printed, *bounds, *(count.text for count in document.counts), *claims):
            assert words in section, (name, words)


# ---- upgrade


def commands_of(text: str) -> list[str]:
    """The commands of a page: indented lines, and code within sentences."""
    lines = re.findall(r"^    (portalpulse .+)$", text, re.MULTILINE)
    return [line.split("  #")[0] for line in lines] + re.findall(r"`(portalpulse [a-z][^`]*)`", text)


def fault_of(command: str) -> str:
    """Why the command line would not take this command, or an empty text. Nothing is run."""
    words, found = shlex.split(command)[1:], typer.main.get_command(create_cli())
    while words and hasattr(found, "commands"):
        name = words.pop(0)
        if name == "--version":
            return ""
        if name not in found.commands:
            return f"there is no {name}"
        found = found.commands[name]
    options = {option for parameter in found.params for option in parameter.opts}
    return next((f"{found.name} has no {word}" for word in words if word.startswith("-") and word not in options), "")


@pytest.mark.parametrize("name", ["upgrade", "doctor", "backup"])
def test_commands_of_a_page_exist(name):
    """Every command that a page for operators names exists, with its options."""
    commands = commands_of(page(name))
    assert len(commands) >= 2
    assert {command: fault_of(command) for command in commands if fault_of(command)} == {}


def test_a_command_that_does_not_exist_is_noticed():
    """The check above notices a command, a command of a group and an option that do not exist."""
    for command in ("portalpulse upgrade", "portalpulse offsets keep FILE", "portalpulse migrate --force"):
        assert fault_of(command), command


def test_the_checklist_is_in_the_order_of_the_page():
    """The checklist backs up before it migrates, migrates before it checks rules and boards, and ends with looking."""
    listed = re.findall(r"^    portalpulse (\w+)", page("upgrade").split("## Checklist", maxsplit=1)[1], re.MULTILINE)
    order = [listed.index(name) for name in ("offsets", "migrate", "alerts", "boards")]
    assert order == sorted(order)
    assert listed[0] == "--version" or listed[:2] == ["doctor", "audit"]
    assert listed[-3:] == ["doctor", "audit", "report"]


# ---- architecture


def test_places_in_the_architecture_exist():
    """Every file and folder that ARCHITECTURE.md names is there."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:domain|sinks|pipeline|producers|dashboards|deploy|bench|docs)/[\w./-]*)`", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tree_in_the_architecture_is_the_tree():
    """Every folder of the product stands in the picture, and every folder of the picture is there."""
    picture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    for top in ("sinks", "pipeline", "producers", "dashboards", "deploy/native"):
        folders = {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
        assert folders, top
        assert [name for name in folders if f"{name}/" not in picture] == [], top


def test_the_path_of_an_event_is_short():
    """The path of one event has at most ten steps, and each names a file."""
    path = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## The path of one event")[1].split("\n\nA crash")[0]
    steps = re.split(r"^\d+\. ", path, flags=re.MULTILINE)[1:]
    assert 5 <= len(steps) <= 10
    assert [step for step in steps if ".py`" not in step] == []
