"""Retention: lets messages of finished dossiers and old dead letters expire. Every figure stays the same."""
