"""Shares of faults that are written on the command line."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from producers.portals.dossier_faults import DossierFault, FaultShares


@pytest.mark.parametrize("text", ["resubmited=0.1", "=0.1", "0.1", "RESUBMITTED=0.1"])
def test_a_name_that_is_no_fault_is_called_so(text):
    """The error says that the name is wrong, and lists the names."""
    with pytest.raises(ConfigurationError, match="names no fault") as refused:
        FaultShares.regular().changed([text])
    assert all(fault in refused.value.remedy for fault in DossierFault)


@pytest.mark.parametrize("share", ["", "1.1", "-0.1", "nan", "inf", "much", "0,1"])
def test_a_share_that_is_none_is_called_so(share):
    """The error says what a share is, with an example of the same fault."""
    with pytest.raises(ConfigurationError, match="with a share from 0 to 1") as refused:
        FaultShares.regular().changed([f"resubmitted={share}"])
    assert "resubmitted=0.1" in refused.value.remedy
