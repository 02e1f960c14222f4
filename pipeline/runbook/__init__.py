"""The runbook: what to do when an alert arrives, in Vietnamese and English, and its pages over HTTP."""
