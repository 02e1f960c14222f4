"""The audit: compares every tally with the stored events and repairs what differs; its steps, its rules and its routes."""
