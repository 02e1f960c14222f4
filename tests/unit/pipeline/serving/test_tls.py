"""HTTPS of a worker or exporter, and the commands that ask it."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import structlog
from prometheus_client import CollectorRegistry

from deploy.native.doctor.examination import examine
from domain.clock import SystemClock
from domain.errors import ConfigurationError, UnavailableError
from pipeline.cli.remote import by_settings, running
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.serving.tls import ServerTls
from pipeline.settings import HttpSettings, Settings
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority that nobody trusts who does not name it."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def served(authority, registry, tmp_path):
    """A process with a certificate: its settings as a command reads them."""
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    authority.certify(certificate, key)
    own = {"certificate_file": str(certificate), "key_file": str(key), "operate_token": "a-token-of-sixteen"}
    health = Health(healthy=True, ready=True)
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=SystemClock(), health=lambda: health)
    server = HttpServer(api, HttpSettings(port=0, **own))
    address = await server.start()
    assert address.startswith("https://127.0.0.1:")
    yield Settings(
        data_dir=tmp_path / "none", http=own | {"port": int(address.rpartition(":")[2]), "ca_file": str(authority.file)}
    )
    await server.close()


async def said_by(settings) -> str:
    """The error of a command with these settings, empty without one."""
    try:
        await asyncio.to_thread(running, settings, None)
    except UnavailableError as error:
        return str(error)
    return ""


async def subject(settings) -> tuple[str | None, bytes]:
    """The version of TLS and the certificate that a new connection is given."""
    context = ssl.create_default_context(cafile=settings.http.ca_file)
    _, writing = await asyncio.open_connection("127.0.0.1", settings.http.port, ssl=context)
    encrypted = writing.get_extra_info("ssl_object")
    found = encrypted.version(), encrypted.getpeercert(binary_form=True)
    writing.close()
    return found


async def test_commands_check_the_certificate(served, authority, tmp_path):
    """Commands and doctor trust the authorities of the setting; an unknown one and another name are one sentence each."""
    assert await said_by(served) == ""
    findings = await asyncio.to_thread(examine, served, data_dir=tmp_path / "none")
    (process,) = [finding for finding in findings if finding.part == "Exporter and API"]
    assert process.state == "ok", process
    strange = served.model_copy(update={"http": served.http.model_copy(update={"ca_file": ""})})
    said = await said_by(strange)
    assert "is not accepted: " in said
    assert "PORTALPULSE_HTTP__CA_FILE" in said
    named = served.http.model_copy(update={"url": f"https://localhost:{served.http.port}"})
    assert "Hostname mismatch" in await said_by(served.model_copy(update={"http": named}))
    for content in ("", "no certificate"):
        (tmp_path / "wrong.crt").write_text(content)
        wrong = served.http.model_copy(update={"ca_file": str(tmp_path / "wrong.crt")})
        with pytest.raises(ConfigurationError, match="PORTALPULSE_HTTP__CA_FILE names"):
            by_settings(served.model_copy(update={"http": wrong}))


async def test_a_certificate_is_replaced_without_a_restart(served, authority, tmp_path):
    """The next connection has the new certificate; files that do not belong together leave the old one in force."""
    version, first = await subject(served)
    assert version in {"TLSv1.2", "TLSv1.3"}
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    authority.certify(tmp_path / "new.crt", tmp_path / "new.key")
    (tmp_path / "new.crt").replace(certificate)
    with structlog.testing.capture_logs() as logged:
        assert (await subject(served))[1] == first
    assert [entry["event"] for entry in logged] == ["certificate_not_renewed"]
    (tmp_path / "new.key").replace(key)
    assert (await subject(served))[1] != first
    key.unlink()
    assert (await subject(served))[1] != first


def test_what_cannot_be_used_is_refused_at_the_start(authority, registry, tmp_path):
    """A missing file, a key of another certificate and an encrypted key are one sentence each."""
    certificate, key, other = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "other.key"
    authority.certify(certificate, key)
    authority.certify(tmp_path / "other.crt", other)
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=SystemClock(), health=lambda: None)
    encrypted = tmp_path / "encrypted.key"
    authority._run("pkcs8", "-topk8", "-in", key, "-out", encrypted, "-passout", "pass:secret")
    for wrong, reason in (("missing", "No such file"), (other, "KEY_VALUES_MISMATCH"), (encrypted, "encrypted")):
        with pytest.raises(ConfigurationError, match=reason):
            HttpServer(api, HttpSettings(certificate_file=str(certificate), key_file=str(wrong)))
    assert ServerTls(str(certificate), str(key)).context.minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(ValueError, match="needed together"):
        HttpSettings(certificate_file=str(certificate))
