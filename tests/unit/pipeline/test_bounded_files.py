"""Files that people name: one without end, or one that grows while it is read, is refused instead of filling the memory."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest

from dashboards.notify.channels import Channels
from dashboards.notify.recipients_file import read_recipients
from dashboards.notify.yaml_lines import read_yaml
from domain.errors import ConfigurationError
from pipeline.addresses import read_addresses
from pipeline.bounded_files import bounded_content
from pipeline.registry import registry_of
from pipeline.settings import load_settings
from pipeline.working_days import working_days_of
from producers.sending.checkpoint import read_state


def _secret(path, _registry):
    channels = SimpleNamespace(_directory=SimpleNamespace(folder=path.parent))
    return list(Channels._from_files(channels, [path.name]))


READERS = {
    "registry": lambda path, _: registry_of(load_settings(registry_file=str(path))),
    "working days": lambda path, _: working_days_of(load_settings(indicators={"working_days_file": str(path)})),
    "recipients": lambda path, registry: read_recipients(path, registry, day=dt.date(2026, 1, 1)),
    "secret": _secret,
    "state": lambda path, _: read_state(path),
    "addresses": lambda path, _: read_addresses(path.parent),
}


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/urandom"])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_without_end_is_refused(tmp_path, registry, reader, device):
    """Each reader of a file that a person names ends with one sentence that names the file and what is wrong with it."""
    path = tmp_path / "addresses.json"
    path.symlink_to(device)
    with pytest.raises(ConfigurationError, match="it has more than") as refused:
        READERS[reader](path, registry)
    assert str(path) in refused.value.problem
    assert refused.value.remedy


def test_a_file_of_the_greatest_size_is_read(tmp_path):
    """The limit itself is allowed, one byte more is not."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert bounded_content(path, maximum=10) == b"x" * 10
    with pytest.raises(OSError, match="more than 9 bytes"):
        bounded_content(path, maximum=9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 5_000, "is nested too deep"),
        ("{a: " * 5_000, "is nested too deep"),
        ("\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]), "more than 100,000 values"),
    ],
)
def test_a_recipients_file_that_grows_while_it_is_read(text, words):
    """Nesting and references without end are refused by name."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        read_yaml(text, name="recipients.yaml")
    assert "recipients.yaml" in refused.value.problem
    assert refused.value.remedy
