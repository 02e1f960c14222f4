"""Reads YAML with the line of every value, so that an error in a file that people write can name its line.

Every scalar is read as text: ``07:30`` stays a time and ``-100123`` an id, whichever version of YAML the writer expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from domain.errors import ConfigurationError

#: The place of a value: keys and positions, as pydantic names them.
Place = tuple[str | int, ...]
#: References (& and *) can repeat a short text without end.
_MAX_VALUES: Final = 100_000
_COMPARE: Final = "Compare the indentation and the colons with the example of `portalpulse alerts example`."


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file as texts, lists and mappings, and the line of each place."""

    content: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line_of(self, place: Sequence[str | int]) -> int:
        """The line of a place, or of the nearest place around it that exists."""
        wanted = tuple(place)
        while wanted and wanted not in self.lines:
            wanted = wanted[:-1]
        return self.lines.get(wanted, 1)


def read_yaml(text: str, *, name: str) -> Document:
    """Read one document; ``name`` of the file is used in errors.

    Raises:
        ConfigurationError: it is not YAML, or a key is written twice; the error names file and line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise ConfigurationError(
            f"{name}, line {line}: it is not YAML ({error.problem or error.context}).",
            remedy=_COMPARE,
        ) from None
    except RecursionError:
        raise ConfigurationError(f"{name} is nested too deep.", remedy=_COMPARE) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigurationError(f"{name} is not YAML: {reason}.", remedy="Save it as UTF-8.") from None
    lines: dict[Place, int] = {}
    try:
        content = {} if root is None else _value(root, (), lines, name)
    except RecursionError:
        raise ConfigurationError(f"{name}: a part contains itself.", remedy="Write it without & and *.") from None
    return Document(content, lines)


def _value(node: yaml.Node, place: Place, lines: dict[Place, int], name: str) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if len(lines) > _MAX_VALUES:
        raise ConfigurationError(f"{name} has more than {_MAX_VALUES:,} values.", remedy="Write it without & and *.")
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, number), lines, name) for number, item in enumerate(node.value)]
    found: dict[str, Any] = {}
    for key, item in node.value:
        word = str(key.value)
        line = key.start_mark.line + 1
        if word in found:
            raise ConfigurationError(f"{name}, line {line}: {word!r} is written a second time.", remedy="Remove one of them.")
        lines[(*place, word)] = line
        found[word] = _value(item, (*place, word), lines, name)
    return found
