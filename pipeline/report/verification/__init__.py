"""Verifies a report: recomputes its figures from the stored messages by the rules of one dossier, and compares every integer.

Nothing that figures are otherwise read from takes part: no tally, no correction, no index of dossiers.
"""
