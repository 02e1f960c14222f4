"""Which portal a topic belongs to: with a topic per portal, the name of the topic says who may report in it.

Kafka tells a reader nothing about the sender of a message, but its access rights decide who may write to a topic. So the topic
proves who sent a message, whereas ``agency_code`` is only what the sender claims.
"""

from __future__ import annotations

from typing import Final

#: Ends the prefix, and the code of the portal where more follows it (``dvc.portal.H17.corrections``).
SEPARATOR: Final = "."


def portal_of(topic: str, prefix: str) -> str | None:
    """The level-1 agency code of the portal to which a topic belongs; None: the topic is shared, and its senders are trusted.

    Args:
        topic: the name of the topic.
        prefix: with which the names of topics of portals begin; empty: every topic is shared.

    >>> portal_of("dvc.portal.H17", "dvc.portal."), portal_of("dvc.portal.H17.corrections", "dvc.portal.")
    ('H17', 'H17')
    >>> portal_of("dvc.dossier-events.v1", "dvc.portal."), portal_of("dvc.portal.H17", "")
    (None, None)
    """
    if not prefix or not topic.startswith(prefix):
        return None
    return topic.removeprefix(prefix).partition(SEPARATOR)[0]
