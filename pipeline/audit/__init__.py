"""The audit: compares every tally with the stored events and repairs what differs; its service, its rules and its routes."""
