"""Bytes to columns: the decoder, the message templates that make it fast, and the validator that decides."""
