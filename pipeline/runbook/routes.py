"""Serves the runbook at ``/runbook/vi`` and ``/runbook/en``, with an anchor for each alert, to which messages link."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Final

from aiohttp import web
from markdown_it import MarkdownIt

from pipeline.serving.requests import Threads, error_response

LANGUAGES: Final = ("vi", "en")
_TITLES: Final = {"vi": "Sổ tay xử lý cảnh báo", "en": "Runbook"}
_HEADING: Final = re.compile(r"<h2>(\w+)</h2>")
_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"
    "pre{background:#f4f4f4;padding:.6em;white-space:pre-wrap;overflow-wrap:anywhere}"
    "h2{border-top:1px solid #ccc;padding-top:.6em}"
    ":target{background:#fff3c4}"
)


def text_of(language: str) -> str:
    """The text of the runbook in a language, as Markdown."""
    return resources.files("pipeline.runbook").joinpath(f"{language}.md").read_text(encoding="utf-8")


@functools.cache
def page_of(language: str) -> str:
    """The runbook in a language as one HTML page. The anchor of an alert's heading is the alert's name."""
    body = MarkdownIt("commonmark", {"html": False}).render(text_of(language))
    names = _HEADING.findall(body)
    body = _HEADING.sub(r'<h2 id="\1">\1</h2>', body)
    contents = " · ".join(f'<a href="#{name}">{name}</a>' for name in names)
    other = next(each for each in LANGUAGES if each != language)
    switch = f'<a href="{other}" hreflang="{other}" lang="{other}">{_TITLES[other]}</a>'
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{_TITLES[language]} – portalpulse</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<header><p>{switch}</p>\n<nav>{contents}</nav></header>\n<main>{body}</main></body>\n</html>\n"
    )


def runbook_routes(_: Threads) -> list[web.RouteDef]:
    """The endpoints of the runbook. They read only files of the package."""
    return [web.get("/runbook", _redirect), web.get("/runbook/{language}", _show)]


async def _redirect(_: web.Request) -> web.Response:
    raise web.HTTPFound(f"/runbook/{LANGUAGES[0]}")


async def _show(request: web.Request) -> web.Response:
    language = request.match_info["language"]
    if language not in LANGUAGES:
        return error_response(404, f"The runbook is there in {' and '.join(LANGUAGES)}, not in {language[:20]!r}.")
    return web.Response(text=page_of(language), content_type="text/html")
