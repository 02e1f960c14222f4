"""The checks of the supply chain: what is locked, which licences are refused, and what an audit without answers says."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

from deploy import supply_chain
from deploy.native.programs import PROJECT
from deploy.supply_chain import ALLOWED, LOCK, READ, SupplyChainError, audit_findings, refused_licences


def a_package(licence, name="some"):
    """A package as pip-licenses lists it."""
    return {"Name": name, "Version": "1.0", "License": licence}


def test_licences_that_are_refused():
    """Every licence that holds must be allowed, of alternatives one; an unknown one is refused unless its file was read."""
    fine = ["MIT", "Apache-2.0 OR GPL-2.0-only", "BSD-3-Clause AND MIT AND Zlib", "Apache Software License; BSD License"]
    assert refused_licences([a_package(licence) for licence in fine]) == []
    wrong = ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "MIT; GNU General Public License v3 (GPLv3)", "UNKNOWN", ""]
    assert refused_licences([a_package(licence) for licence in wrong]) == sorted(f"some 1.0: {licence}" for licence in wrong)
    assert refused_licences([a_package("UNKNOWN", name) for name in READ]) == []
    assert refused_licences([a_package("GPL-3.0-only", name) for name in READ]) != []
    assert not any("GPL" in licence or "GNU" in licence for licence in ALLOWED)


def test_what_is_installed_here_has_a_licence_that_is_allowed():
    """By the metadata alone, without the tools: SPDX, or classifiers where there is none."""
    packages = []
    for each in metadata.distributions():
        name, expression = each.metadata["Name"], each.metadata["License-Expression"]
        classifiers = [line.rpartition(" :: ")[2] for line in each.metadata.get_all("Classifier", ()) if "License ::" in line]
        named = expression or "; ".join(line for line in classifiers if line != "OSI Approved") or each.metadata["License"]
        packages.append({"Name": name, "Version": each.version, "License": named or "UNKNOWN"})
    refused = [line for line in refused_licences(packages) if not line.startswith("portalpulse ")]
    assert len(packages) > 80
    assert refused == []


def test_an_audit_in_which_packages_were_skipped_is_not_a_good_one():
    """pip-audit says that it found nothing when nobody answered; portalpulse says that nothing is known."""
    good = {"name": "a", "version": "1", "vulns": []}
    bad = {
        "name": "b",
        "version": "2",
        "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}, {"id": "PYSEC-2", "fix_versions": []}],
    }
    assert audit_findings({"dependencies": [good]}) == []
    assert audit_findings({"dependencies": [good, bad]}) == ["b 2: PYSEC-1, fixed in 3", "b 2: PYSEC-2, fixed in no release yet"]
    with pytest.raises(SupplyChainError, match="1 of 2 packages could not be compared"):
        audit_findings({"dependencies": [good, {"name": "c", "skip_reason": "not found"}]})


def test_the_tools_are_pinned_with_hashes_and_are_commands():
    """Each line of the lock has a version and hashes; each check has a target of make."""
    text = LOCK.read_text(encoding="utf-8")
    pinned = re.findall(r"(?m)^([a-z0-9-]+)==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", text)
    assert len(pinned) == len(re.findall(r"(?m)^[a-z]", text))
    assert {"pip-audit", "pip-licenses", "cyclonedx-bom"} <= set(pinned)
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for check in ("audit", "licences", "sbom"):
        assert re.search(rf"(?m)^(?:\w+ )*{check}(?: \w+)*: setup$", makefile), check
        assert callable(getattr(supply_chain, check))
