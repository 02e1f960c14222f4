"""What the pipeline asks of a destination: a store for events and tallies, and a reader for figures.

Every method blocks until the destination has answered and raises only errors of ``sinks.errors``. All writes may be repeated:
the same rows again change nothing. An implementation is held to ``tests/contract/store_suite.py``.
"""
