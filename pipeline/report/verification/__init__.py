"""Verifies a report: recomputes its figures from the stored messages by the rules of one dossier, and compares every integer.

Only stored messages are read: no tallies, no corrections and no index of dossiers, from which reports are made.
"""
