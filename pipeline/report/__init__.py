"""Reports of the published figures of a period: the request, how complete the figures are, the figures, and the formats."""
