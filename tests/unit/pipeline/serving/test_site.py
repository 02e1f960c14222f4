"""The files of the board's page: nothing inline, nothing from elsewhere, each with its type, tag and licence."""

from __future__ import annotations

import hashlib
import re

import httpx
import pytest

from domain.errors import ConfigurationError
from pipeline.cli.worker import packaged_board
from pipeline.serving.site import POLICY, Site
from tests.board import FOLDER, BoardReader, board_sources, served


async def test_the_page_is_served_with_strict_headers(registry):
    """The policy allows this origin alone; a file has its type; a known tag gets 304; no path leaves the folder."""
    async with (
        served(board_sources(BoardReader(registry), registry), registry) as server,
        httpx.AsyncClient(trust_env=False, base_url=server.address) as client,
    ):
        page = await client.get("/")
        assert page.headers["Content-Security-Policy"] == POLICY
        assert "unsafe" not in POLICY
        assert "http" not in POLICY
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        for path, kind in (
            ("/", "text/html; charset=utf-8"),
            ("/board/board.css", "text/css; charset=utf-8"),
            ("/board/js/main.js", "text/javascript; charset=utf-8"),
            ("/board/vendor/inter-latin.woff2", "font/woff2"),
            ("/board/icon.svg", "image/svg+xml"),
            ("/board/vendor/LICENSE.inter.txt", "text/plain; charset=utf-8"),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind), path
            again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b""), path
            assert (await client.get(path, headers={"If-None-Match": '"x"'})).status_code == 200
        for path in ("/board/", "/board/../pyproject.toml", "/board/%2e%2e/__init__.py", "/board/js", "/board/none.js"):
            assert (await client.get(path)).status_code == 404, path
        assert re.findall(r"(?:href|src)=\"(?!board/|#)", page.text) == []


def test_nothing_is_inline_or_from_elsewhere():
    """No script, style or handler in the page, and no address of another host in a file of ours."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page) == []
    for path in [FOLDER / "index.html", FOLDER / "board.css", *(FOLDER / "js").glob("*.js")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://|url\(//|innerHTML|insertAdjacentHTML|document\.write|eval\(", text) == [], path
        assert len(text.splitlines()) < 300, path


def test_vendored_files_have_licences_and_checksums():
    """Every vendored file is listed with its checksum, and each library has its licence beside it."""
    vendor = FOLDER / "vendor"
    listed = dict(reversed(line.split()) for line in (vendor / "MANIFEST.sha256").read_text().splitlines())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.iterdir() if path.name != "MANIFEST.sha256"
    }
    assert found == listed
    assert {"LICENSE.inter.txt", "LICENSE.uPlot.txt"} <= set(found)


def test_a_folder_without_a_page(tmp_path):
    """A folder without index.html is refused in one sentence; the packaged one is found."""
    with pytest.raises(ConfigurationError, match=r"has no index\.html"):
        Site(tmp_path)
    assert packaged_board() == FOLDER
