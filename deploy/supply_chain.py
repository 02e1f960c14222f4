"""Checks of the supply chain: vulnerabilities, licences, bill of materials (``make audit``, ``make licences``, ``make sbom``).

The tools are pinned with hashes in ``supply-chain.lock`` and live in a virtual environment of their own, so that nobody who only
runs portalpulse or its tests fetches them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.native.programs import PROJECT

LOCK: Final = PROJECT / "deploy" / "supply-chain.lock"
_CACHE: Final = PROJECT / ".cache"
_TOOLS: Final = _CACHE / "supply-chain"
_AUDITED: Final = PROJECT / "requirements.lock"
_BILL: Final = _CACHE / "sbom.cdx.json"
_SECONDS: Final = 600

#: Licences that anybody may use, change and pass on beside code under Apache-2.0, as packages name them.
#: Those of Mozilla ask that changes of their own files are published; none is changed here.
ALLOWED: Final = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "PSF-2.0", "Zlib"),
        *("Apache Software License", "BSD License", "DFSG approved", "ISC License (ISCL)", "MIT License"),
        *("Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License"),
        "Repoze Public License",  # BSD with a clause about trademarks
    }
)
#: Packages whose metadata name no licence: what the file in the package says.
READ: Final[Mapping[str, str]] = {"promql-parser": "MIT", "verlib2": "BSD-2-Clause"}


class SupplyChainError(Exception):
    """A check of the supply chain cannot be done; the text says what to do."""


def refused_licences(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each package with a licence that is not allowed. ``packages``: with ``Name``, ``Version`` and ``License``."""
    lines = []
    for package in packages:
        name = str(package["Name"])
        said = READ.get(name, str(package["License"])) if package["License"] == "UNKNOWN" else str(package["License"])
        every = [re.split(r" OR ", part) for part in re.split(r"; | AND ", said)]
        if not all(any(choice.strip("() ") in ALLOWED or choice in ALLOWED for choice in choices) for choices in every):
            lines.append(f"{name} {package['Version']}: {said}")
    return sorted(lines, key=str.lower)


def audit_findings(report: Mapping[str, Any]) -> list[str]:
    """A line for each known vulnerability in a report of pip-audit.

    Raises:
        SupplyChainError: a package was skipped. pip-audit itself then says that it found none.
    """
    packages = report["dependencies"]
    if skipped := [each for each in packages if "skip_reason" in each]:
        raise SupplyChainError(
            f"{len(skipped)} of {len(packages)} packages could not be compared with known vulnerabilities; the first is "
            f"{skipped[0]['name']}. Nothing is known about them. Run it where the advisory service of the Python Package Index "
            "is reachable; a mirror that has packages only is not enough."
        )
    return [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no release yet'}"
        for package in packages
        for found in package["vulns"]
    ]


def audit() -> int:
    """Compare the locked packages with known vulnerabilities."""
    report = _CACHE / "audit.json"
    report.unlink(missing_ok=True)
    options = (
        "--disable-pip",
        "--require-hashes",
        "-r",
        str(_AUDITED),
        "-f",
        "json",
        "-o",
        str(report),
        "--progress-spinner",
        "off",
    )
    done = _run("pip-audit", *options)
    if not report.exists():
        said = (done.stderr.strip().splitlines() or ["it ended without a report"])[-1]
        raise SupplyChainError(
            f"pip-audit could not ask for known vulnerabilities: {said[:300]}. Connect this machine to the internet, or set "
            "HTTPS_PROXY, and run it again."
        )
    found = audit_findings(json.loads(report.read_text(encoding="utf-8")))
    return _told(found, "known vulnerabilities", "Raise the versions in pyproject.toml and compile requirements.lock again.")


def licences() -> int:
    """List the licences of the installed packages; fails on a licence that is not allowed."""
    done = _run("pip-licenses", f"--python={sys.executable}", "--format=json", "--from=mixed", "--with-system")
    packages = json.loads(_output(done))
    for package in packages:
        _say(f"{package['Name']} {package['Version']}: {READ.get(package['Name'], package['License'])}")
    return _told(
        refused_licences([each for each in packages if each["Name"] != "portalpulse"]),
        "packages with a licence that is not allowed",
        "Read the licence; use another package, or add it to deploy/supply_chain.py.",
    )


def sbom() -> int:
    """Write the bill of materials of the installed packages (CycloneDX JSON)."""
    _CACHE.mkdir(exist_ok=True)
    done = _run("cyclonedx-py", "environment", sys.executable, "--of", "JSON", "--output-reproducible", "-o", str(_BILL))
    _output(done)
    components = json.loads(_BILL.read_text(encoding="utf-8"))["components"]
    _say(f"{len(components)} components in {_BILL.relative_to(PROJECT)}")
    return 0


def _told(found: Sequence[str], what: str, remedy: str) -> int:
    for line in found:
        _say(f"WRONG  {line}")
    _say(f"{len(found)} {what}." + (f" {remedy}" if found else ""))
    return 1 if found else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _output(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise SupplyChainError(f"{done.args[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    _prepare()
    program = _TOOLS / "bin" / tool
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=_SECONDS, cwd=PROJECT)


def _prepare() -> None:
    """Make the virtual environment of the tools, again when their lock file has changed."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = _TOOLS / "lock.sha256"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    venv.create(_TOOLS, clear=True, with_pip=True)
    install: list[str | Path] = [
        _TOOLS / "bin" / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-input",
    ]
    done = subprocess.run(
        [*install, "--only-binary=:all:", "--require-hashes", "-r", LOCK],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise SupplyChainError(
            f"The tools in {LOCK.relative_to(PROJECT)} could not be installed: {done.stderr.strip()[-300:]}. "
            "If this machine reaches no package index, connect it to one; then run it again."
        )
    stamp.write_text(wanted, encoding="utf-8")


def main() -> None:
    """Run one check. Status 1: it found something; 2: it could not be done."""
    checks = {"audit": audit, "licences": licences, "sbom": sbom}
    parser = argparse.ArgumentParser(description="checks of the supply chain")
    parser.add_argument("check", choices=sorted(checks))
    try:
        sys.exit(checks[parser.parse_args().check]())
    except SupplyChainError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
