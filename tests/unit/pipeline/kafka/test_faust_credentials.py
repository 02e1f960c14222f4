"""Settings of passwords and certificates in the words of each client."""

from __future__ import annotations

import ssl

import faust
import pytest

from domain.errors import ConfigurationError
from pipeline.kafka.faust_credentials import faust_credentials
from pipeline.kafka.security import aiokafka_options, librdkafka_options, tls_context
from pipeline.settings import KafkaSettings

LOGIN = {"user": "worker", "password": "secret"}


@pytest.fixture
def ca_file(tmp_path):
    """The system's authorities, in a file of their own."""
    path = tmp_path / "ca.pem"
    path.write_text("".join(map(ssl.DER_cert_to_PEM_cert, ssl.create_default_context().get_ca_certs(binary_form=True)[:1])))
    return str(path)


def test_nothing_is_sent_where_nothing_is_set():
    """The default is plain text: no login, no certificate."""
    settings = KafkaSettings()
    assert aiokafka_options(settings) == {"security_protocol": "PLAINTEXT", "ssl_context": None}
    assert faust_credentials(settings) is None
    assert librdkafka_options(settings) == {
        "security.protocol": "PLAINTEXT",
        "bootstrap.servers": ",".join(settings.bootstrap),
    }


def test_a_password_over_tls_stays_encrypted_in_faust(ca_file):
    """SASL_SSL reaches Faust with its context: without one Faust would send the password over an open line."""
    settings = KafkaSettings(security_protocol="SASL_SSL", ca_file=ca_file, **LOGIN)
    credentials = faust_credentials(settings)
    assert isinstance(credentials, faust.SASLCredentials)
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert (credentials.username, credentials.password) == ("worker", "secret")
    assert librdkafka_options(settings) == {
        "security.protocol": "SASL_SSL",
        "bootstrap.servers": ",".join(settings.bootstrap),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "worker",
        "sasl.password": "secret",
        "ssl.ca.location": ca_file,
    }
    options = aiokafka_options(settings)
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "worker")


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_certificates_and_names_are_checked(protocol):
    """Encryption always checks who is at the other end."""
    context = tls_context(KafkaSettings(security_protocol=protocol, **(LOGIN if "SASL" in protocol else {})))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_encryption_without_a_password():
    """SSL alone reaches Faust as certificates without a login."""
    assert isinstance(faust_credentials(KafkaSettings(security_protocol="SSL")), faust.SSLCredentials)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read(tmp_path, content):
    """A file that is not there, or holds no certificate, is one sentence with its setting."""
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"authorities in .*ca\.pem cannot be read.*PORTALPULSE_KAFKA__CA_FILE"):
        tls_context(KafkaSettings(security_protocol="SSL", ca_file=str(path)))
    with pytest.raises(ConfigurationError, match="cannot be read"):  # librdkafka itself would not say which file
        librdkafka_options(KafkaSettings(security_protocol="SSL", ca_file=str(path)))


def test_the_password_is_not_shown():
    """No representation of the settings holds the password."""
    settings = KafkaSettings(security_protocol="SASL_PLAINTEXT", **LOGIN)
    assert "secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"security_protocol": "SASL_SSL"}, "SASL_SSL needs user and password"),
        ({"security_protocol": "SASL_PLAINTEXT", "user": "worker"}, "SASL_PLAINTEXT needs user and password"),
        (LOGIN, "user and password are not sent with PLAINTEXT, choose SASL_SSL"),
        ({"security_protocol": "SSL", "password": "secret"}, "are not sent with SSL"),
        ({"ca_file": "ca.pem"}, "ca_file is not used with PLAINTEXT"),
        ({"security_protocol": "TLS"}, "match pattern"),
        ({"sasl_mechanism": "GSSAPI"}, "match pattern"),
    ],
)
def test_what_would_stay_unused_is_refused(fields, words):
    """A password that would not be sent, or a certificate that nobody would check, is a mistake that must show."""
    with pytest.raises(ValueError, match=words):
        KafkaSettings(**fields)
