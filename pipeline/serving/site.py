"""Serves the files of the board's page from memory: strict headers, right types, an ETag for each content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.serving.requests import error_response

INDEX: Final = "index.html"
#: Where the files are served; the page itself is at ``/``.
PREFIX: Final = "/board/"
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".sha256": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
#: Nothing from another host, nothing inline, and no frame around the page.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # a browser asks whether its copy is the newest; the answer is mostly 304
}


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A file of the page: its bytes, its media type, and its ETag, which changes with the bytes."""

    body: bytes
    content_type: str
    etag: str


class Site:
    """The files below a folder, read once. Only files of the types of a web page are served."""

    def __init__(self, folder: Path) -> None:
        """Read the files.

        Raises:
            ConfigurationError: the folder has no index.html, or a file cannot be read.
        """
        try:
            paths = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES and path.is_file())
            self.files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
        except OSError as error:
            raise ConfigurationError(
                f"The folder of the board {folder} cannot be read: {error.strerror}.",
                remedy="Name the folder that holds its index.html with --board.",
            ) from error
        if INDEX not in self.files:
            raise ConfigurationError(
                f"The folder {folder} has no {INDEX}, so that there is no board to serve.",
                remedy="Name the folder that holds its index.html with --board.",
            )


def _read(path: Path) -> SiteFile:
    body = path.read_bytes()
    return SiteFile(body, _TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:32])


def site_routes(site: Site | None) -> list[web.RouteDef]:
    """The page at ``/`` and its files below ``PREFIX``; with None, ``/`` answers that the process serves no board."""

    async def page(request: web.Request) -> web.Response:
        if site is None:
            return error_response(404, "This process serves no board. Ask the exporter or the all-in-one worker.")
        return _answer(request, site.files[INDEX])

    async def file(request: web.Request) -> web.Response:
        found = None if site is None else site.files.get(request.match_info["path"])
        return error_response(404, "There is no such file.") if found is None else _answer(request, found)

    return [web.get("/", page), web.get(PREFIX + "{path:.+}", file)]


def _answer(request: web.Request, file: SiteFile) -> web.Response:
    headers = {**HEADERS, "ETag": f'"{file.etag}"'}
    if any(tag.value in (file.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.body, headers={**headers, "Content-Type": file.content_type})
