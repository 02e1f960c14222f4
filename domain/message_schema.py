"""The message contract as JSON Schema (draft 2020-12), for senders; docs/messages.md explains it.

The validator (``pipeline.decode.validator``) decides which messages are valid. Tests check that the schema accepts every message
that the validator accepts. It cannot express rules about bytes, the registry, or the present: see ``NOT_IN_SCHEMA``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

from domain.events import Reason

#: Reasons for which the schema cannot refuse a message, and why. Other reasons it refuses, except for numbers such as 9.0.
NOT_IN_SCHEMA: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.EMPTY: "it is about bytes: there is no JSON value",
        Reason.TOO_LARGE: "it is about bytes: the size of the message",
        Reason.NOT_UTF8: "it is about bytes: their encoding",
        Reason.NOT_JSON: "it is about bytes: there is no JSON value, or one that is nested too deep or has a number out of range",
        Reason.UNKNOWN_AGENCY: "it depends on the registry; the schema knows only the form of an agency code",
        Reason.AGENCY_NOT_IN_FORCE: "it depends on the registry and the day; the schema knows only the years 1975 to 2106",
        Reason.IN_THE_FUTURE: "it depends on the present; the schema knows only the years 1975 to 2106",
        Reason.WRONG_PORTAL: "it depends on the topic that the message came in",
        Reason.UNFORESEEN: "it is an error of portalpulse",
        Reason.REFUSED_BY_STORAGE: "it is a decision of the storage",
    }
)


def schema_text() -> str:
    """The JSON Schema that ships with portalpulse, as text."""
    return resources.files("domain").joinpath("data/dossier_event.schema.json").read_text(encoding="utf-8")
