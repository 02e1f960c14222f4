"""The audit: compares every tally with the stored events, checks every dossier, and repairs what is wrong."""
