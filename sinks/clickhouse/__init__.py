"""The storage contract implemented with ClickHouse: embedded (chDB) or a server over HTTP. Only the client differs."""
