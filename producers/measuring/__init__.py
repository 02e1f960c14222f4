"""Measures a run of sending: its progress, the latency from send to visible, and the result."""
