"""Simulated portals: scenarios, live traffic, and the whole life of every dossier that they send."""
