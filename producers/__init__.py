"""Simulated, live and replayed portals: everything that writes dossier events into the topic."""
