"""How many files this process and the parts that it starts may have open at once (``ulimit -n``)."""

from __future__ import annotations

import resource
from typing import Final

from domain.errors import ConfigurationError

#: Kafka's jars, segments and connections alone are hundreds.
LEAST_OPEN_FILES: Final = 1_024
#: More is not asked for: some programs go through all numbers up to the limit.
_WANTED: Final = 65_536
_REMEDY: Final = "Raise the limit, for example with `ulimit -n 4096`, or LimitNOFILE= of a systemd unit."


def allow_open_files() -> int:
    """Raise the limit of this process, which its children inherit, as far as it may; returns what it is then.

    Raises:
        ConfigurationError: too few for the parts.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if (wanted := _allowed(hard)) > _allowed(soft):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return require_open_files()


def require_open_files() -> int:
    """What the limit of this process can become.

    Raises:
        ConfigurationError: too few for the parts.
    """
    allowed = _allowed(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    if allowed < LEAST_OPEN_FILES:
        raise ConfigurationError(
            f"At most {allowed:,} files may be open at once (ulimit -n); the parts need {LEAST_OPEN_FILES:,}.", remedy=_REMEDY
        )
    return allowed


def _allowed(limit: int) -> int:
    return _WANTED if limit == resource.RLIM_INFINITY else min(limit, _WANTED)
