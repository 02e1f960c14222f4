"""One Chromium for the tests of a module: it takes longer to start than most pages take to test."""

from __future__ import annotations

import pytest
import pytest_asyncio

from deploy.native.programs import axe_script
from tests.integration.browser.chromium import chromium


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_chromium(tmp_path_factory):
    """The Chromium of a module."""
    async with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def browser(shared_chromium):
    """A Chromium without pages; those of the test are closed at its end."""
    yield shared_chromium
    await shared_chromium.close_pages()


@pytest.fixture(scope="session")
def axe():
    """The script of axe-core."""
    return axe_script().read_text(encoding="utf-8")
