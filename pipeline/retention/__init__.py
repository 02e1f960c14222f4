"""Retention: lets messages of finished dossiers and dead letters expire, with every figure kept."""
