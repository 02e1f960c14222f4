"""Alertmanager: routes, receivers and message templates, generated here and checked with amtool."""
