"""What the pins share: logging as it is before a command has set it up."""

from __future__ import annotations

import pytest
import structlog


@pytest.fixture(autouse=True)
def _default_logging():
    """A command that ran in this process before may have left a log that writes to a stream which is closed by now."""
    configured = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**configured)
