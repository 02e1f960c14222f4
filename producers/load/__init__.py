"""Load tests: live traffic at any rate and shape, and the search for the rate at which freshness breaks."""
