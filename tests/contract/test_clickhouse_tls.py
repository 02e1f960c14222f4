"""A ClickHouse server behind TLS, with a certificate of an authority of one's own."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress

import pytest

from deploy.native.doctor.examination import examine
from domain.errors import ConfigurationError
from pipeline.settings import ClickHouseSettings, Settings
from pipeline.wiring.storage import target_of
from sinks.clickhouse.client import ClickHouse
from sinks.errors import Retryable
from tests.certificates import Authority


@asynccontextmanager
async def encrypted(target: int, context: ssl.SSLContext):
    """Speak TLS in front of a port of this machine; yields the port."""

    async def pump(source, sink):
        with suppress(OSError):
            while piece := await source.read(1 << 16):
                sink.write(piece)
                await sink.drain()
        sink.close()

    async def passed_on(reading, writing):
        far, near = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reading, near), pump(far, writing))

    async with await asyncio.start_server(passed_on, "127.0.0.1", 0, ssl=context) as proxy:
        yield proxy.sockets[0].getsockname()[1]


async def test_the_authority_of_clickhouse_is_a_setting(clickhouse_server, tmp_path):
    """With its authority a server is asked over TLS, by the doctor, too; without it nothing is sent, and the error says why."""
    authority = Authority(tmp_path / "authority")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    authority.certify(certificate, key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def asked(ca_file: str) -> object:
        settings = Settings(clickhouse={"url": url, "ca_file": ca_file, "timeout_seconds": 10})
        clickhouse = ClickHouse(target_of(settings))
        try:
            return clickhouse.rows("test", "SELECT 42")[0][0]
        finally:
            clickhouse.close()

    async with encrypted(clickhouse_server.http_port, context) as port:
        url = f"https://default:@127.0.0.1:{port}/default"
        assert await asyncio.to_thread(asked, str(authority.file)) == 42
        with pytest.raises(Retryable, match="certificate verify failed"):
            await asyncio.to_thread(asked, "")
        settings = Settings(data_dir=tmp_path / "none", clickhouse={"url": url, "ca_file": str(authority.file)})
        findings = await asyncio.to_thread(examine, settings, data_dir=tmp_path / "none")
        assert [finding.state for finding in findings if finding.part == "ClickHouse"] == ["ok"]
    with pytest.raises(ConfigurationError, match="PORTALPULSE_CLICKHOUSE__CA_FILE names"):
        target_of(Settings(clickhouse={"url": url, "ca_file": str(tmp_path / "missing")}))
    with pytest.raises(ValueError, match="starts with https"):
        ClickHouseSettings(url="http://127.0.0.1:1/x", ca_file=str(authority.file))
