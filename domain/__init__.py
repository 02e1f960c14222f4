"""The domain: agencies, periods, events, indicators, rounding. Pure; imports no other package of portalpulse."""
