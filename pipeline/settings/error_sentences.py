"""Makes sentences about wrong settings, which say what to write instead.

Pure functions of errors and names. A sentence never repeats the value of a secret or of an unknown field.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pipeline.texts import read_json

#: Variables of deploy/setup.sh, which share the prefix.
_FOREIGN: Final = frozenset({"NO_APT", "SETUP_LOCKED"})
#: What Kubernetes sets in every container for a Service whose name begins like ours.
_KUBERNETES: Final = re.compile(r"(^|_)(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")
_KUBERNETES_LINK: Final = re.compile(r"(^|_)PORT$")
_CHOICES: Final = re.compile(r"^\^\(([\w|-]+)\)\$$")
#: Longest name or value that a sentence repeats (characters).
_LONGEST: Final = 100
#: Values above 1 up to this are percents that were meant as ratios.
_PERCENT: Final = 100


def variables_of(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The name of every environment variable that ``model`` reads."""
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is None:
            yield prefix + name.upper()
        else:
            yield from variables_of(section, f"{prefix}{name.upper()}__")


def unknown_variable(environment: Mapping[str, str], model: type[BaseModel], prefix: str) -> str | None:
    """A sentence about the first variable that begins with ``prefix`` and that no setting reads, or None."""
    for name in sorted(environment):
        upper = name.upper()
        if upper.startswith(prefix) and not _is_read(upper.removeprefix(prefix), model):
            rest = upper.removeprefix(prefix)
            link = _KUBERNETES_LINK.search(rest) and environment[name].startswith(("tcp://", "udp://", "sctp://"))
            if rest not in _FOREIGN and not _KUBERNETES.search(rest) and not link:
                return (
                    f"The variable {_cut(name)} is not a setting of portalpulse{_meant(rest, variables_of(model, ''), prefix)}."
                )
    return None


def variable_set_twice(environment: Mapping[str, str], prefix: str) -> str | None:
    """A sentence about two variables with different values whose names differ only in case, so set one setting; or None."""
    seen: dict[str, str] = {}
    for name in sorted(environment):
        first = seen.setdefault(name.upper(), name)
        if name.upper().startswith(prefix) and environment[name] != environment[first]:
            return f"The variables {first} and {name} are one setting, and their values differ."
    return None


def json_fault(environment: Mapping[str, str], model: type[BaseModel], prefix: str) -> str | None:
    """A sentence about the first JSON variable with a fault that the parser would accept (``_plain_json``), or None."""
    for name in sorted(environment):
        rest = name.upper().removeprefix(prefix)
        field = model.model_fields.get(rest.lower()) if name.upper().startswith(prefix) else None
        if field is not None and (_section(field) or _items(field)):
            try:
                _plain_json(environment[name])
            except ValueError as error:
                return f"Setting {prefix}{rest} is wrong: {error}."
    return None


def _plain_json(text: str) -> None:
    """Check a text that should be JSON. The error quotes no value, which may be a password. A text that is not JSON passes.

    Raises:
        ValueError: the value is null, is nested too deep, or has a boolean (no setting is one) or an object with a name twice.
    """

    def any_boolean(value: Any) -> bool:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return isinstance(value, bool) or any(map(any_boolean, inner))

    try:
        read = read_json(text)
        if read is None:
            raise ValueError("null sets nothing; remove the variable")
        if any_boolean(read):
            raise ValueError("it holds true or false, and no setting is one of them")
    except json.JSONDecodeError:
        return  # pydantic says so


def explained(error: Mapping[str, Any], model: type[BaseModel], prefix: str) -> str:
    """A sentence about one error that pydantic reports for the settings ``model``; ``error`` includes the wrong input."""
    owner, field, variable, place = _find(error["loc"], model, prefix)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        fields = list(owner.model_fields)
        unknown = str(error["loc"][-1])
        if place:
            wrong = f"{place}it does not know the field {_cut(repr(unknown))}{_meant(unknown, fields)}"
            return f"Setting {variable} is wrong: {wrong}; it knows {', '.join(fields)}."
        section, _, wrong = variable.rpartition("__")
        meant = _meant(wrong, [name.upper() for name in fields], f"{section}__")
        return f"The variable {_cut(variable)} is not a setting of portalpulse{meant}."
    secret = (field is not None and _is_secret(field)) or (kind == "model_type" and not place)  # a group may hold a password
    wrong_value = _WrongValue(
        name=str(error["loc"][-1]).lower(),
        value=None if secret or not _is_plain(error["input"]) else error["input"],
        limits=context,
        form=_object_form((None if field is None else _section(field)) or owner) if kind == "model_type" else _list_form(field),
    )
    sentence = _SENTENCES.get(kind)
    text = sentence(wrong_value) if sentence is not None else error["msg"].removeprefix("Value error, ")
    if place and field is not None and not text.startswith(wrong_value.name):
        place = f"{place}{wrong_value.name}: "
    return f"Setting {variable} is wrong: {place}{text}."


def unreadable(field: str, prefix: str, model: type[BaseModel]) -> str:
    """A sentence about a variable whose value must be JSON and is not."""
    variable = prefix + field.upper()
    info = model.model_fields.get(field)
    section = None if info is None else _section(info)
    if section is not None:
        part = next(iter(section.model_fields)).upper()
        return f"Setting {variable} is wrong: it is a group; write its parts, such as {variable}__{part}."
    return f"Setting {variable} is wrong: it wants {_list_form(info)}, and this is not JSON."


@dataclass(frozen=True, slots=True)
class _WrongValue:
    """A value that a setting does not accept, and what the setting expects. ``value`` is None when it must not be shown."""

    name: str
    value: Any
    limits: Mapping[str, Any]
    form: str

    @property
    def named(self) -> str:
        return "it" if self.value is None else f"{self.name} {_cut(ascii(str(self.value).strip())[1:-1], 40)}"

    @property
    def quoted(self) -> str:
        return "the value" if self.value is None else repr(self.value)[:42]


def _above(wrong_value: _WrongValue) -> str:
    text = f"{wrong_value.named} is above {wrong_value.limits['le']:,.12g}"
    number = _number(wrong_value.value)
    if wrong_value.name.endswith("ratio") and number is not None and 1 < number <= _PERCENT:
        text += f": write {number / 100:.12g} for {number:.12g} %"
    return text


def _too_short(wrong_value: _WrongValue) -> str:
    minimum = wrong_value.limits["min_length"]
    return f"it must have at least {minimum} character{'s' if minimum > 1 else ''}"


def _no_match(wrong_value: _WrongValue) -> str:
    choices = _CHOICES.match(wrong_value.limits["pattern"])
    known = choices[1].split("|") if choices else []
    text = f"is none of {', '.join(known)}" if choices else f"does not match {wrong_value.limits['pattern']}"
    return f"{wrong_value.quoted} {text}{_meant(str(wrong_value.value), known)}"


def _no_integer(wrong_value: _WrongValue) -> str:
    return f"{wrong_value.quoted} is not a whole number"


def _no_number(wrong_value: _WrongValue) -> str:
    return f"{wrong_value.quoted} is not a number"


def _another_form(wrong_value: _WrongValue) -> str:
    return f"it wants {wrong_value.form}, and this is {'something else' if wrong_value.value is None else wrong_value.quoted}"


#: Sentences by pydantic's names of errors; any other error keeps pydantic's message.
_SENTENCES: Final[dict[str, Callable[[_WrongValue], str]]] = {
    "less_than_equal": _above,
    "greater_than_equal": lambda wrong_value: f"{wrong_value.named} is below {wrong_value.limits['ge']:,.12g}",
    "greater_than": lambda wrong_value: f"{wrong_value.named} must be above {wrong_value.limits['gt']:,.12g}",
    "int_parsing": _no_integer,
    "int_type": _no_integer,
    "int_from_float": _no_integer,
    "float_parsing": _no_number,
    "float_type": _no_number,
    "finite_number": _no_number,
    "string_too_short": _too_short,
    "string_too_long": lambda wrong_value: f"it must have at most {wrong_value.limits['max_length']} characters",
    "string_pattern_mismatch": _no_match,
    "string_type": lambda wrong_value: f"{wrong_value.quoted} is not a text",
    "tuple_type": _another_form,
    "model_type": _another_form,
}


def _find(
    location: tuple[int | str, ...], model: type[BaseModel], prefix: str
) -> tuple[type[BaseModel], FieldInfo | None, str, str]:
    """The model with the wrong field, the field, the variable that sets it, and its place in a list ("" outside of lists)."""
    owner, field, variable, place = model, None, prefix.removesuffix("_"), ""
    separator, inside = "_", False
    for part in location:
        if isinstance(part, int):
            place, inside = f"policy {part + 1}: ", True
            items = _items(field)
            owner, field = (owner, field) if items is None else (items, None)
            continue
        section = None if field is None else _section(field)
        owner = owner if section is None else section
        field = owner.model_fields.get(part)
        if not inside:
            variable, separator = f"{variable}{separator}{part.upper()}", "__"
    return owner, field, variable, place


def _is_read(rest: str, model: type[BaseModel]) -> bool:
    """Whether ``rest``, a variable's name without the prefix, names a setting or is inside of a known group of settings."""
    group, nested, inner = rest.partition("__")
    field = model.model_fields.get(group.lower())
    return field is not None and (not nested or (_section(field) is not None and "__" not in inner))


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _items(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of the items of a list field; None: the items have no model, or the field is not a list."""
    arguments = () if field is None else getattr(field.annotation, "__args__", ())
    found = [kind for kind in arguments if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return found[0] if found else None


def _list_form(field: FieldInfo | None) -> str:
    items = _items(field)
    return "JSON" if items is None else f"a JSON list of {{{', '.join(items.model_fields)}}}"


def _object_form(model: type[BaseModel]) -> str:
    return f"an object {{{', '.join(model.model_fields)}}}"


def _cut(text: str, longest: int = _LONGEST) -> str:
    """A text shortened to at most ``longest`` characters, to be repeated in a sentence."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _meant(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.lower(), list(by_lower), n=1, cutoff=0.7)
    return f" (did you mean {prefix}{by_lower[close[0]]}?)" if close else ""
