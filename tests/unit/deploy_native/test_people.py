"""The people of a recipients file in a local stack."""

from __future__ import annotations

import pytest
import yaml

from dashboards.alertmanager.timing import AlertTiming
from dashboards.notify.recipients_file import EXAMPLE
from deploy.native.environment import child_environment, ignored_settings
from deploy.native.people import People, Servers, check_people
from deploy.native.stack_options import StackOptions
from domain.errors import ConfigurationError

SECRETS = {"PORTALPULSE_NOTIFY__SMTP_PASSWORD": "mat-khau", "PORTALPULSE_NOTIFY__TELEGRAM_TOKEN": "1:AA"}


@pytest.fixture
def options(tmp_path):
    """Options of a stack with the people of the example, whose secrets are settings."""
    path = tmp_path / "recipients.yaml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("telegram:\n  token_file: secrets/telegram_token\n", "telegram: {}\n")
    path.write_text("\n".join(line for line in text.splitlines() if "_file: secrets" not in line), encoding="utf-8")
    return StackOptions(tmp_path / "data", "t", "g", 1, recipients_file=str(path))


def test_secrets_of_recipients_stay_with_the_stack():
    """Worker and exporter do not get the passwords of mail and Telegram, and the settings are not called ignored."""
    given = SECRETS | {"PORTALPULSE_LOG__LEVEL": "info", "HOME": "/h"}
    passed = child_environment(given, ours={"CLOCK": "system"}, inherit=True)
    assert not set(passed) & set(SECRETS)
    assert passed["PORTALPULSE_LOG__LEVEL"] == "info"
    assert ignored_settings(given, inherit=True) == []


def test_routes_lead_to_people_and_to_the_terminal(options, tmp_path, monkeypatch):
    """Every alert goes to the terminal at once, and then to people; no secret is in the written file."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    check_people(options)
    people = People(options, Servers("http://p", "http://a"), timing=AlertTiming.demo(), say=lambda _: None)
    config = tmp_path / "am" / "alertmanager.yml"
    people.start(config, terminal="http://terminal/x")
    try:
        written = config.read_text(encoding="utf-8")
        first, second, *_ = yaml.safe_load(written)["route"]["routes"]
        assert first["matchers"] == ['alertname="Watchdog"']
        assert (second["receiver"], second["group_by"], second["continue"]) == ("terminal", ["..."], True)
        assert not [secret for secret in SECRETS.values() if secret in written]
        assert "4 recipients" in people.text
        assert not people.know_of("StackStopped")
    finally:
        people.stop()


def test_a_missing_secret_ends_the_start(options):
    """`up` refuses to start with people that it could not tell anything."""
    with pytest.raises(ConfigurationError, match="PORTALPULSE_NOTIFY__SMTP_PASSWORD"):
        check_people(options)
