"""The published figures of a period: what is asked for, how complete the answer is, the figures, and how they are printed."""
