"""The service catalogue: files of it are read and judged, loaded into the storage, and shown."""
