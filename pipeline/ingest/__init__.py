"""From fetched messages to acknowledged ones: decode, store, recount, acknowledge; retries, memory budget, dead-letter limit."""
