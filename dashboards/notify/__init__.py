"""Messages about alerts: who gets them, what they say, and how they are sent.

Alertmanager groups, inhibits and repeats; its webhooks lead to the relay of this folder, which writes and sends the messages.
"""
