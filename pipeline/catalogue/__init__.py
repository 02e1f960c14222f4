"""The service catalogue: reads and checks its files, loads them into the storage, and shows it."""
