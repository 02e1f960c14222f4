"""Those who are measured: each starts its own process, and tells how to read what it has counted."""
