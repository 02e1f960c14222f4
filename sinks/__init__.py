"""Destinations of events and tallies: a contract, errors named by consequence, and the implementation with ClickHouse."""
