"""Judges a recording by the rules of the worker without sending it: rejections, repeats, dossiers and their findings."""
