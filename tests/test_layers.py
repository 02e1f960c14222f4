"""The architecture as a test: who may import whom, and the house rules that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
FOLDERS = ("pipeline", "sinks", "producers", "dashboards", "deploy")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def shown(path: Path) -> str:
    """A path for people."""
    return str(path.relative_to(ROOT))


def test_nothing_imports_upwards(monkeypatch, capsys):
    """Every contract of [tool.importlinter] is kept: folders, layers, one door for each client library."""
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


#: What the folders beside the pipeline may import of it; a name stands for the module and what is below it.
ALLOWED_OF_PIPELINE = {
    "producers": (
        "addresses",
        "authorities",
        "bounded_files",
        "broker_addresses",
        "folders",
        "hints",
        "kafka.access",
        "kafka.access_errors",
        "kafka.false_broker",
        "kafka.range_consumer",
        "kafka.security",
        "kafka.topic_identity",
        "logs",
        "registry",
        "settings",
        "shutdown",
        "texts",
        "whole_files",
    ),
    "dashboards": ("authorities", "bounded_files", "folders", "logs", "registry", "settings", "shutdown", "texts", "whole_files"),
}
#: More that one folder below them may import: what judges a recording has the rules of the worker, and what brings figures
#: through alert rules the collectors of the exporter and what these read; neither has a copy of them.
ALLOWED_BELOW = {
    "producers/replay/checking": ("decode",),
    "dashboards/history": ("cli.options", "cli.progress", "cli.remote", "serving", "working_days"),
}
ALLOWED_OF_SINKS = {"dashboards/history": ("sinks.contract.tallies.",)}


def imported_modules(text: str) -> set[str]:
    """Every module that a source text imports, those for annotations as well; ``from a import b`` may be the module ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def forbidden_imports(folder: str, text: str) -> set[str]:
    """Of the modules that a file of ``folder`` imports, those of the pipeline and the sinks that are not on its list."""
    names = (*ALLOWED_OF_PIPELINE[folder.split("/", maxsplit=1)[0]], *ALLOWED_BELOW.get(folder, ()))
    allowed = (*(f"pipeline.{name}." for name in names), *ALLOWED_OF_SINKS.get(folder, ()))
    ours = {name for name in imported_modules(text) if name.split(".")[0] in {"pipeline", "sinks"}}
    return {name for name in ours if not f"{name}.".startswith(allowed)}


@pytest.mark.parametrize("path", [path for path in MODULES if path.relative_to(ROOT).parts[0] in ALLOWED_OF_PIPELINE], ids=shown)
def test_producers_and_dashboards_import_only_what_is_listed(path):
    """Producers and dashboards use the pipeline's settings, logs and access to Kafka, one folder the decoder, no more."""
    assert not forbidden_imports(path.relative_to(ROOT).parent.as_posix(), path.read_text(encoding="utf-8"))


def test_an_import_that_is_not_listed_is_found():
    """Any way to write the import is noticed, a name that begins like an allowed one too."""
    for text in ("import pipeline.wiring", "from pipeline import wiring", "from pipeline.wiring import x", "import sinks"):
        assert forbidden_imports("producers", text), text
    assert forbidden_imports("dashboards", "from pipeline.settings_file import x")
    assert forbidden_imports("dashboards", "def f():\n    from pipeline.kafka.security import x")
    assert forbidden_imports("producers/portals", "from pipeline.decode.decoder import Decoder")
    assert not forbidden_imports("producers/replay/checking", "from pipeline.decode.decoder import Decoder")
    assert not forbidden_imports("producers", "from pipeline.kafka import security\nfrom pipeline.settings import Settings")


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_says_what_it_is_for(path):
    """A module opens with a docstring, and its name says what it holds."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert not {"utils", "helpers", "common", "manager", "misc"} & set(path.relative_to(ROOT).with_suffix("").parts)


def test_only_the_settings_read_the_environment():
    """Settings come in one way; no other module of the product's core asks the environment.

    The width of a terminal is not a setting: the module that prepares the streams sees to it that it can be used.
    """
    may = {ROOT / "pipeline" / "settings" / "loading.py", ROOT / "pipeline" / "cli" / "streams.py"}
    for folder in ("pipeline", "sinks"):
        for path in (ROOT / folder).rglob("*.py"):
            if path in may:
                continue
            text = path.read_text(encoding="utf-8")
            assert "os.environ" not in text, shown(path)
            assert "getenv" not in text, shown(path)


#: What opens connections to brokers.
KAFKA_CLIENTS = frozenset(
    {"Producer", "Consumer", "AdminClient", "AIOKafkaClient", "AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"}
    | {"create_conn"}
)
#: The local stack's own broker is plain.
PLAIN = {
    "deploy/native/services/kafka_admin.py",
    "deploy/native/services/mock_kafka.py",
    "deploy/native/rehearsal/traffic.py",
}
OPTIONS = "kafka_options("


def clients_without_options(text: str) -> list[int]:
    """Lines that make a Kafka client without the options for TLS and passwords, directly or by a name that holds them."""
    if "confluent_kafka" not in text and "aiokafka" not in text:
        return []
    names, calls, handed_on, annotations = {OPTIONS}, [], [], set()
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    clients = {
        item.name for node in imports if (node.module or "").startswith(("confluent_kafka", "aiokafka")) for item in node.names
    } & KAFKA_CLIENTS
    for node in ast.walk(tree):  # parents come before their children
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if annotation is not None:
            annotations |= {id(inner) for inner in ast.walk(annotation)}
        if isinstance(node, ast.Assign | ast.AnnAssign) and OPTIONS in ast.unparse(node):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {ast.unparse(target) for target in targets}
        elif isinstance(node, ast.FunctionDef) and node.name.endswith("options") and OPTIONS in ast.unparse(node):
            names.add(f"{node.name}(")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in clients:
            calls.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.Name) and node.id in clients and id(node) not in annotations:
            handed_on.append(node.lineno)
    missing = [line for line, call in calls if not any(name in call for name in names)]
    return missing or (handed_on if OPTIONS not in text else [])


@pytest.mark.parametrize("path", [path for path in MODULES if shown(path) not in PLAIN], ids=shown)
def test_a_kafka_client_proves_itself(path):
    """Every Kafka client is created with the settings' protocol, login and certificate authorities."""
    assert clients_without_options(path.read_text(encoding="utf-8")) == []


def test_a_kafka_client_that_does_not_prove_itself_is_found():
    """The check of the sources finds a client without the options, whether it is created in place or passed on."""
    imports = "from confluent_kafka import Consumer\n"
    assert clients_without_options(f'{imports}Consumer({{"bootstrap.servers": "b"}})') == [2]
    assert clients_without_options(f"{imports}def read(make=Consumer): ...") == [2]
    assert clients_without_options(f"{imports}x = librdkafka_options(s)\nConsumer({{}})") == [3]
    assert clients_without_options(f"{imports}x = librdkafka_options(s)\nConsumer(x)") == []
    assert clients_without_options(f"{imports}def read(consumer: Consumer) -> Consumer: ...") == []
    assert clients_without_options(f"{imports}Consumer({{**librdkafka_options(s)}})") == []


#: Admin requests of librdkafka to a group's coordinator: one that is lost and answers after the time limit ends the process.
#: ``Consumer.committed`` asks for offsets and ``group_members`` for the members without that.
END_THE_PROCESS = {
    "list_consumer_group_offsets",
    "describe_consumer_groups",
    "alter_consumer_group_offsets",
    "delete_consumer_groups",
}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if shown(path).startswith(("pipeline/", "producers/", "deploy/"))], ids=shown
)
def test_no_request_ends_the_process(path):
    """No process of the product makes an admin request by which a lost coordinator ends it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not asked & END_THE_PROCESS


@pytest.mark.parametrize("path", TESTS, ids=shown)
def test_a_test_says_its_rule(path):
    """Every test opens with the rule it holds, in a docstring, and none is skipped or expected to fail."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{shown(path)}::{node.name}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"skip", "skipif", "xfail", "importorskip"}, f"{shown(path)}:{node.lineno}"
