"""HTTP connections that send the pinned settings with every request, and take an answer only when its headers came whole.

The settings stand in front of the request's own, which win. They are added here, below the driver, because the driver sends
requests by itself when it connects, and a profile could shorten those, too.

The standard library's HTTP client takes the end of a connection for the end of the headers, and headers without a length for a
body that ends with the connection: a ClickHouse that died while it answered would then have said "200, no rows". What urllib3
makes of it depends on its release, and on whether urllib3-future has put itself in its place. ClickHouse names the length of
every answer or sends it in chunks, and says so behind its own headers: an answer without either was cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from clickhouse_connect.driver.httputil import get_pool_manager_options
from urllib3 import PoolManager
from urllib3.exceptions import ProtocolError

_NO_BODY = frozenset({204, 304})


class StrictPoolManager(PoolManager):
    """A pool of connections; an answer whose headers were cut is a ``ProtocolError``, as one whose body was cut.

    ``settings`` go with every request; they may be replaced at any time.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__(**get_pool_manager_options())
        self.settings = settings

    def urlopen(self, method: str, url: str, *more: Any, **named: Any) -> Any:
        """As urllib3's; see the class."""
        place, _, query = url.partition("?")
        url = f"{place}?{urlencode(self.settings)}{'&' if query else ''}{query}"
        answer: Any = super().urlopen(method, url, *more, **named)
        if method != "HEAD" and answer.status not in _NO_BODY and not _framed(answer.headers):
            answer.close()
            raise ProtocolError("the connection ended within the headers of the answer")
        return answer


def _framed(headers: Any) -> bool:
    """Whether the end of the body can be told from the end of the connection; the cut may fall into the very word."""
    return bool(headers.get("Transfer-Encoding", "").lower() == "chunked" or headers.get("Content-Length", "").isdigit())
