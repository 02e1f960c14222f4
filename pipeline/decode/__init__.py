"""Turns messages into columns: the decoder, the message templates that make it fast, and the validator, which decides."""
