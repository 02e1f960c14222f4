"""Judges a recording without sending it: rejections, repeats, dossiers and their findings, by the rules of the worker."""
