"""HTTP connections that send the pinned settings with every request and accept an answer only when its headers are complete.

The settings come before the request's own, which override them. They are added here, below the driver, because the driver sends
requests of its own when it connects, and a profile could shorten those answers, too.

Python's HTTP client treats the end of a connection as the end of the headers, and headers without a length as a body that ends
with the connection. A ClickHouse server that died while answering would then have returned "200, no rows". What urllib3 does in
this case depends on its release, and on whether urllib3-future has replaced it. ClickHouse sends either a Content-Length or a
chunked body, after its own headers, so an answer with neither was cut off.

For most reads the driver asks the server to hold the answer back until it is complete. The server then keeps the answer in a
file. On a full disk it sends what fits, even nothing, with status 200. So this pool asks the server to keep such answers in
memory.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from clickhouse_connect.driver.httputil import get_pool_manager_options
from urllib3 import PoolManager
from urllib3.exceptions import ProtocolError

_STATUSES_WITHOUT_BODY = frozenset({204, 304})
_HELD_BACK = "wait_end_of_query=1"
#: Bytes of it that the server may hold in memory. Both are parameters of a request, not settings: a read-only user may send them.
_IN_MEMORY = {"buffer_size": str(1 << 40)}


class StrictPoolManager(PoolManager):
    """A connection pool that raises ``ProtocolError`` for incomplete headers, as urllib3 does for an incomplete body.

    ``settings`` are sent with every request; they may be replaced at any time. ``ca_file``: the authorities that sign the
    certificate of the server; empty: the public ones.
    """

    def __init__(self, settings: Mapping[str, str], *, ca_file: str = "") -> None:
        super().__init__(**get_pool_manager_options(ca_cert=ca_file or None), ssl_minimum_version=ssl.TLSVersion.TLSv1_2)
        self.settings = settings

    def urlopen(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send a request like urllib3's method, with the pinned settings, and check the headers of the answer."""
        base, _, query = url.partition("?")
        sent = {**self.settings, **_IN_MEMORY} if _HELD_BACK in query.split("&") else self.settings
        url = f"{base}?{urlencode(sent)}{'&' if query else ''}{query}"
        response: Any = super().urlopen(method, url, *args, **kwargs)
        if method != "HEAD" and response.status not in _STATUSES_WITHOUT_BODY and not _has_length(response.headers):
            response.close()
            raise ProtocolError("the connection ended within the headers of the answer")
        return response


def _has_length(headers: Any) -> bool:
    """Whether the headers tell where the body ends. The connection may have been cut inside a header's value."""
    return bool(headers.get("Transfer-Encoding", "").lower() == "chunked" or headers.get("Content-Length", "").isdigit())
