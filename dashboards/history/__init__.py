"""Figures of months through the real rules: a simulated year, and stored history (``portalpulse alerts year``, ``backtest``)."""
