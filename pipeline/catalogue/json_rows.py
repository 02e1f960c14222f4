"""Reads the rows of JSON: an array of objects, or one object on each line (NDJSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from domain.errors import ConfigurationError
from pipeline.catalogue.faults import Faults
from pipeline.catalogue.rows import Row
from pipeline.texts import read_json

_FORM = 'Write an array of objects, or one object a line, such as {"agency_code": "H55", ...}.'


def json_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows of a JSON text. An element or line that is not a JSON object is noted as a fault.

    Raises:
        ConfigurationError: the text begins as an array and is not JSON; the error names the line if it is known.
    """
    if text.lstrip().startswith("["):
        try:
            items = read_json(text)
        except json.JSONDecodeError as error:
            raise ConfigurationError(
                f"{faults.source}, line {error.lineno}, is not JSON: {error.msg}.", remedy="Correct the line."
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{faults.source} cannot be read: {error}.", remedy=_FORM) from error
        yield from (row for number, item in enumerate(items, 1) if (row := _row(f"entry {number}", item, faults)))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = read_json(line)
        except json.JSONDecodeError as error:
            faults.add_sentence(f"line {number}", f"it is not JSON: {error.msg}", "write one object a line")
            continue
        except ValueError as error:
            faults.add_sentence(f"line {number}", str(error), "write one object a line, and each field once")
            continue
        if row := _row(f"line {number}", item, faults):
            yield row


def _row(place: str, item: Any, faults: Faults) -> Row | None:
    if isinstance(item, dict):
        columns = {column.strip().casefold(): value for column, value in item.items()}
        if len(columns) == len(item):
            return Row(place, columns)
        faults.add_sentence(place, "it names a column twice", "write each column once")
        return None
    faults.add_sentence(place, "it is not an object", 'write {"agency_code": "H55", ...}')
    return None
