"""The bytes of a dossier event, as every simulated portal sends it.

A formatted text is four times as fast as a JSON library; none of its parts needs escaping. Tests parse it with a JSON library.
"""

from __future__ import annotations


def attributes(channel: int, service_level: str) -> str:
    """The wire text of channel and level, made once for many events."""
    return f'"channel":{channel},"service_level":"{service_level}","occurred_at":"'


def origin(agency_code: str, procedure_code: str) -> str:
    """The wire text of agency and procedure, made once for many events."""
    return f'","agency_code":"{agency_code}","procedure_code":"{procedure_code}","status":'


def extras(*, legacy_level: int, returned_by: str, portal_id: str) -> str:
    """The wire text of the optional fields (0 and "": omitted) with the end of the object."""
    legacy = f',"legacy_level":{legacy_level}' if legacy_level else ""
    returned = f',"returned_by":"{returned_by}"' if returned_by else ""
    portal = f',"portal_id":"{portal_id}"' if portal_id else ""
    return f'"{legacy}{returned}{portal}}}'


def event(*, event_id: str, dossier_code: str, origin: str, status: int, attributes: str, at: str, extras: str) -> bytes:
    """One message value. ``at`` is local time with milliseconds, without the offset."""
    text = f'{{"event_id":"{event_id}","dossier_code":"{dossier_code}{origin}{status},{attributes}{at}+07:00{extras}'
    return text.encode("ascii")
