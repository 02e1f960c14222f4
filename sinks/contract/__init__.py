"""What the pipeline needs from a storage: stores for events, tallies and dead letters, a reader of figures, an audit.

Every method blocks until the storage has answered and raises only errors of ``sinks.errors``. Every write is idempotent:
writing the same rows again changes nothing. Every implementation passes the suites in tests/contract.
"""
