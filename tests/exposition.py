"""Samples of a running process's /metrics. Only the lines of the metrics that a test asks for are parsed: there are thousands."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families


def samples(url, *names):
    """The samples of the named metrics at ``url``, a process's address without path; names are those of the samples."""
    text = httpx.get(f"{url}/metrics", timeout=60, trust_env=False).text
    wanted = (line for line in text.splitlines(keepends=True) if line.startswith(names))
    return [sample for family in text_string_to_metric_families("".join(wanted)) for sample in family.samples]
