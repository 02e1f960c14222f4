"""Where commands do their work."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from domain.errors import UnavailableError
from pipeline.cli import services
from pipeline.settings import load_settings
from sinks.errors import Fatal, Retryable


@pytest.mark.parametrize("kind", [Retryable, Fatal])
def test_a_storage_that_goes_away_within_a_command_is_one_sentence(monkeypatch, kind):
    """An error of ClickHouse after the start is not called a fault of portalpulse: it is told with what to do, status 2."""
    monkeypatch.setattr(services, "opened_storage", lambda _: nullcontext())
    settings = load_settings(clickhouse={"url": "http://db:1/x"})
    with (
        pytest.raises(
            UnavailableError, match=r"ClickHouse at db:1: refused\. `portalpulse doctor` .* run the command again\."
        ) as told,
        services.opened_service(settings, None, local=lambda *_: None, remote=lambda _: None),
    ):
        raise kind("ClickHouse at db:1: refused")
    assert told.value.exit_code == 2
