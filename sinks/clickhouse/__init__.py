"""ClickHouse behind the sink contract: embedded (chDB) or a server over HTTP, the same code but for the client."""
