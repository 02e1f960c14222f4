"""Serves the definitions of the indicators as pages, ``/definitions/vi`` and ``/definitions/en``."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from domain.errors import ConfigurationError
from domain.indicators import SUPPLY_INDICATORS, Indicator, ReturnAtCounter, indicators_by
from pipeline.report.formats.style import Language
from pipeline.serving.requests import answered

#: A page with its style inside it and nothing else.
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"
    "h2{border-top:1px solid #ccc;padding-top:.6em}dt{font-weight:600}dd{margin:0 0 .5em}"
)
_TITLES: Final = {Language.VI: "Định nghĩa các chỉ số", Language.EN: "Definitions of the indicators"}
_BOARD: Final = {Language.VI: "Bảng trực tiếp", Language.EN: "Live board"}
#: The fields of an indicator in both languages. Their texts are in English, but for the official name.
_FIELDS: Final = (
    ("numerator", "Tử số", "Numerator"),
    ("denominator", "Mẫu số", "Denominator"),
    ("placed_by", "Ngày xếp hồ sơ vào kỳ", "Day that places a dossier in a period"),
    ("source", "Nguồn", "Source"),
    ("remarks", "Ghi chú", "Remarks"),
)
_RULES: Final = {
    Language.VI: "Tỷ lệ được cắt bớt, không làm tròn; mức so sánh bằng phân số chính xác. Mẫu số bằng 0 là “không có dữ liệu”, "
    "không phải 0 %. Tỷ lệ của khối và toàn quốc là thương của các tổng, không phải trung bình của các tỷ lệ.",
    Language.EN: "Rates are cut, never rounded; states compare exact fractions. A denominator of 0 is “no data”, not 0 %. "
    "The rate of a block or the nation divides sums; rates are never averaged.",
}


def page_language(text: str) -> Language:
    """The language with the code ``text``.

    Raises:
        ConfigurationError: there is no page in this language.
    """
    try:
        return Language(text)
    except ValueError:
        raise ConfigurationError(f"There is no page in the language {text[:20]!r}.", remedy="Use vi or en.") from None


def definitions_page(language: Language, indicators: Iterable[Indicator]) -> str:
    """The page with the definitions of ``indicators`` in a language, as HTML."""
    other = Language.EN if language is Language.VI else Language.VI
    parts = [
        f'<h2 id="{each.code}">{each.code} · {html.escape(each.name_vi if language is Language.VI else each.name_en)}</h2><dl>'
        + "".join(
            f'<dt>{vietnamese if language is Language.VI else english}</dt><dd lang="en">{html.escape(text)}</dd>'
            for name, vietnamese, english in _FIELDS
            if (text := getattr(each, name))
        )
        + "</dl>"
        for each in indicators
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_TITLES[language]} – portalpulse</title><style>{_STYLE}</style></head>\n<body>\n"
        f'<header><p><a href="/?lang={language}">{_BOARD[language]}</a> · '
        f'<a href="{other}" hreflang="{other}" lang="{other}">{_TITLES[other]}</a></p></header>\n'
        f"<main><h1>{_TITLES[language]}</h1><p>{_RULES[language]}</p>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def definition_routes(return_at_counter: ReturnAtCounter) -> list[web.RouteDef]:
    """The endpoints of the definitions. They read no data."""
    indicators = (*indicators_by(return_at_counter).values(), *SUPPLY_INDICATORS.values())
    pages = {language: definitions_page(language, indicators) for language in Language}

    async def show(request: web.Request) -> web.Response:
        language = page_language(request.match_info["language"])
        return web.Response(text=pages[language], content_type="text/html", headers=PAGE_HEADERS)

    return [web.get("/definitions/{language}", answered(show))]
