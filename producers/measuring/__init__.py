"""Measures what was sent: progress, latency from send to visible, and the result."""
