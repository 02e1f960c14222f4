"""Messages about alerts: who gets them, what they say, and how they are sent.

Alertmanager groups, inhibits and repeats alerts; its webhooks call the relay of this package, which writes and sends the
messages.
"""
