"""The address of a ClickHouse: parsed, with its timeout, and shown without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

#: Database of the embedded engine, and of a server whose address does not name one.
DATABASE = "portalpulse"
_FORM = "a ClickHouse address is chdb:FOLDER or http(s)://user:password@host:port/database"
_ENCODE = (
    "a user or password with one of # / ? @ [ ] or a character that is not ASCII must be percent-encoded, for example %23 for #"
)


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a ClickHouse; ``folder`` is set for the embedded engine, ``host`` for a server."""

    timeout: float
    database: str = DATABASE
    folder: Path | None = None
    host: str = ""
    port: int = 0
    secure: bool = False
    user: str = "default"
    password: str = field(default="", repr=False)
    #: File of the authorities that sign the server's certificate; empty: the public ones.
    ca_file: str = ""

    @classmethod
    def parse(cls, url: str, *, timeout: float, ca_file: str = "") -> Self:
        """Read ``chdb:FOLDER`` or ``http(s)://[user[:password]@]host[:port][/database]``.

        ``ca_file``: see the attribute of ``Target``.

        Raises:
            ValueError: the address has neither form.
        """
        if url.startswith("chdb:"):
            folder = url.removeprefix("chdb:").removeprefix("//")
            if not folder:
                raise ValueError("chdb: needs a folder, for example chdb:.portalpulse/clickhouse")
            return cls(timeout=timeout, folder=Path(folder).absolute())
        parts, port = _split(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(_FORM)
        database = parts.path.strip("/") or DATABASE
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database):
            raise ValueError(f"the database name {database!r} may contain only letters, digits and _")
        secure = parts.scheme == "https"
        return cls(
            timeout=timeout,
            database=database,
            host=parts.hostname,
            port=port or (8443 if secure else 8123),
            secure=secure,
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            ca_file=ca_file,
        )

    @property
    def display_name(self) -> str:
        """The address for messages, without the password."""
        if self.folder is not None:
            return f"the embedded ClickHouse in {self.folder}"
        return f"ClickHouse at {self.host}:{self.port}"


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Split an address into its parts and its port.

    Raises:
        ValueError: the address cannot be split. The message quotes no part of it, because any part may belong to the password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"{_FORM}; {_ENCODE}") from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(_ENCODE)
    if parts.query or parts.fragment:
        raise ValueError("nothing may follow the database name, neither ? nor #")
    if any(sign.isspace() or not sign.isprintable() for sign in parts.hostname or ""):
        raise ValueError("the host contains a space or a control character")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"the port is not a number from 1 to 65535; {_ENCODE}")
    return parts, port
