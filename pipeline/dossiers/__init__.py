"""Single dossiers: explains and excludes them over HTTP, and keeps the table of dossiers."""
