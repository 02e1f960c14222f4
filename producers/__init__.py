"""Simulated, live and replayed portals: every program that writes dossier events into the topic."""
