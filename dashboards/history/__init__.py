"""Runs figures of whole months through the real alert rules: of a simulated year, or of stored history."""
