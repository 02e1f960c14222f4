"""A collapse of one agency in live traffic, and the option that asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.errors import ConfigurationError

#: Rate of a collapsed agency when none is asked for.
COLLAPSED_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Collapse:
    """From ``after`` seconds on, only ``share`` (0 to 1) of the agency's settled dossiers are full online service."""

    agency: str
    share: float = COLLAPSED_SHARE
    after: float = 0.0


def parse_collapse(text: str, *, after: float = 0.0) -> Collapse:
    """The collapse that the text ``CODE`` or ``CODE:SHARE`` asks for, e.g. ``H26`` or ``H26:0.02``.

    Raises:
        ConfigurationError: the text has neither form.
    """
    agency, _, share = text.partition(":")
    try:
        collapse = Collapse(agency.strip().upper(), float(share) if share else COLLAPSED_SHARE, after)
    except ValueError:
        collapse = Collapse("", -1.0)
    if not collapse.agency or not 0.0 <= collapse.share <= 1.0:
        raise ConfigurationError(
            f"--collapse {text!r} is neither CODE nor CODE:SHARE with a share from 0 to 1.",
            remedy="Write for example --collapse H26 or --collapse H26:0.02.",
        )
    return collapse
