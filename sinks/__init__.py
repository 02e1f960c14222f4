"""Destinations of events and tallies: a contract, errors named by consequence, and ClickHouse behind them."""
