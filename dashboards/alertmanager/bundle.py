"""Writes rules and routes into one folder that can be copied to the machines of Prometheus and Alertmanager.

The files contain no path of this machine. Whatever Alertmanager or Prometheus would refuse raises an error here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dashboards.generated import write_files
from dashboards.rules.generate import RuleTiming, write_rules
from dashboards.urls import is_http_url
from domain.errors import ConfigurationError

#: Time limit of amtool and promtool (seconds).
_CHECK_SECONDS: Final = 60
_CONFIG: Final = "alertmanager.yml"


def write_bundle(folder: Path, *, config: str, rules: RuleTiming) -> list[Path]:
    """Write the rules and ``config``, an alertmanager.yml, below ``folder``; returns the paths.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    path = folder / _CONFIG
    try:
        written = write_rules(folder / "rules", rules)
        return [*written, *write_files({path: config})]
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}.",
            remedy="Choose another folder with --out.",
        ) from error


def check_address(url: str, *, option: str) -> None:
    """Check that Alertmanager accepts ``url`` as the address of a webhook.

    Raises:
        ConfigurationError: Alertmanager would refuse the address.
    """
    if not is_http_url(url) or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"{option} {url[:80]!r} is not an address that Alertmanager can send to.",
            remedy="Write it as http://host:port/path or https://host/path.",
        )


def verify_bundle(folder: Path) -> tuple[list[str], list[str]]:
    """Check the written files with amtool and promtool; returns the programs that ran and those that are not installed.

    Raises:
        ConfigurationError: one of the programs rejects a file; the message contains its reason.
    """
    commands: dict[str, Sequence[str | Path]] = {"amtool": ("check-config", folder / _CONFIG)}
    if rules := sorted((folder / "rules").glob("*.yml")):
        commands["promtool"] = ("check", "rules", *rules)
    checked, missing = [], []
    for name, arguments in commands.items():
        program = shutil.which(name)
        if program is None:
            missing.append(name)
            continue
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=_CHECK_SECONDS, check=False
        )
        if done.returncode:
            reason = " ".join(f"{done.stdout} {done.stderr}".split())[-300:]
            raise ConfigurationError(f"{name} rejects the files in {folder}: {reason}")
        checked.append(name)
    return checked, missing
