"""The tables of docs/performance.md that are made from results."""

from __future__ import annotations

from bench import figures


def test_the_table_of_reports_has_each_report():
    """A row for each report with its median and spread, and what they were taken on."""
    times = {"median_ms": 41.2, "least_ms": 38.9, "most_ms": 1234.5}
    found = {
        "machine": {"processor": "AMD EPYC", "cores": 2, "memory_gib": 24},
        "events": 9_999_996,
        "runs": 11,
        "taken_at": "2026-01-01T00:00Z",
        "reports": {"a month": times, "the year": times},
    }
    text = figures.contents({"report": found})["report"]
    assert "| a month | 41 | 39 | 1,234 |\n| the year | 41 |" in text
    assert "9,999,996 messages; each report 11 times" in text
    page = figures.PAGE.read_text(encoding="utf-8")
    assert text in figures.replace_between_markers(page, "report", text)
