"""Errors for people: what happened, then what to do."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError


@pytest.mark.parametrize("problem", ["It failed: no route to host", "It failed."])
def test_problem_and_remedy_are_two_sentences(problem):
    """A problem often ends with the text of another error, which has no full stop."""
    assert str(ConfigurationError(problem, remedy="Start it.")) == f"{problem.rstrip('.')}. Start it."
    assert str(ConfigurationError(problem)) == problem
