"""The words and rules of the field, pure: agencies, periods, events, indicators, rounding. Imports nothing else of ours."""
