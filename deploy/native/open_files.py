"""The limit on open files of this process and of the services that it starts (``ulimit -n``)."""

from __future__ import annotations

import resource
from typing import Final

from domain.errors import ConfigurationError

#: Kafka alone needs hundreds for its jars, segments and connections.
MIN_OPEN_FILES: Final = 1_024
#: No higher limit is set, because some programs iterate over all numbers up to the limit.
_TARGET: Final = 65_536
_REMEDY: Final = "Raise the limit, for example with `ulimit -n 4096`, or LimitNOFILE= of a systemd unit."


def allow_open_files() -> int:
    """Raise the limit of this process, which its children inherit, as far as allowed; returns the new limit.

    Raises:
        ConfigurationError: the allowed limit is too low for the services.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if (target := _allowed(hard)) > _allowed(soft):
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return require_open_files()


def require_open_files() -> int:
    """The highest limit on open files that this process can set.

    Raises:
        ConfigurationError: the limit is too low for the services.
    """
    allowed = _allowed(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    if allowed < MIN_OPEN_FILES:
        raise ConfigurationError(
            f"At most {allowed:,} files may be open at once (ulimit -n); the services need {MIN_OPEN_FILES:,}.", remedy=_REMEDY
        )
    return allowed


def _allowed(limit: int) -> int:
    return _TARGET if limit == resource.RLIM_INFINITY else min(limit, _TARGET)
