"""Settings: what is read, and what every wrong value says."""

from __future__ import annotations

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.settings import ThresholdPolicy, load_settings

WRONG = [
    ("KAFKA__BOOTSTRAP", "", "at least one host:port"),
    ("KAFKA__BOOTSTRAP", "localhost", "'localhost' is not host:port"),
    ("KAFKA__BOOTSTRAP", "a:1,b:0", "'b:0' is not host:port"),
    ("KAFKA__BOOTSTRAP", "a:99999", "is not host:port"),
    ("KAFKA__BOOTSTRAP", ":9092", "is not host:port"),
    ("KAFKA__TOPIC", "", "at least 1 character"),
    ("KAFKA__TOPIC", "x" * 250, "at most 249"),
    ("KAFKA__GROUP", "", "at least 1 character"),
    ("KAFKA__PARTITIONS", "0", "greater than or equal to 1"),
    ("KAFKA__PARTITIONS", "four", "valid integer"),
    ("KAFKA__PARTITIONS", "true", "valid integer"),
    ("KAFKA__SESSION_TIMEOUT_SECONDS", "5.9", "greater than or equal to 6"),
    ("KAFKA__SESSION_TIMEOUT_SECONDS", "91", "less than or equal to 90"),
    ("KAFKA__SESSION_TIMEOUT_SECONDS", "nan", ""),
    ("KAFKA__FETCH_BYTES", "1", "greater than or equal to 65536"),
    ("KAFKA__FETCH_MIN_BYTES", "-1", "greater than or equal to 1"),
    ("KAFKA__FETCH_MAX_WAIT_MS", "1.5", "valid integer"),
    ("KAFKA__TOPC", "x", "not permitted"),
    ("CLICKHOUSE__URL", "localhost:8123", "must start with chdb:, http:// or https://"),
    ("CLICKHOUSE__URL", "", "must start with"),
    ("CLICKHOUSE__TIMEOUT_SECONDS", "0", "greater than 0"),
    ("CLICKHOUSE__TIMEOUT_SECONDS", "inf", "less than or equal to 600"),
    ("HTTP__PORT", "65536", "less than or equal to 65535"),
    ("HTTP__PORT", "-1", "greater than or equal to 0"),
    ("HTTP__PORT", "false", "valid integer"),
    ("HTTP__TOKEN", "short", "at least 16 characters"),
    ("HTTP__TOKEN", "a token with blanks", "visible ones of ASCII"),
    ("INGEST__BATCH_ROWS", "0", "greater than or equal to 1"),
    ("INGEST__MAX_UNSTORED_ROWS", "10", "max_unstored_rows must be at least batch_rows"),
    ("INGEST__MAX_UNSTORED_BYTES", "1", "greater than or equal to"),
    ("INGEST__LINGER_MS", "soon", "valid integer"),
    ("INGEST__FUTURE_TOLERANCE_SECONDS", "-1", "greater than or equal to 0"),
    ("INGEST__FUTURE_TOLERANCE_SECONDS", "inf", ""),
    ("INGEST__FUTURE_TOLERANCE_SECONDS", "1e300", ""),
    ("INGEST__MINUTE_INTERVAL_MS", "1", "greater than or equal to 10"),
    ("INGEST__DAY_INTERVAL_MS", "0", "greater than or equal to 10"),
    ("INGEST__PROCEDURE_INTERVAL_MS", "0", "greater than or equal to 10"),
    ("WATCHDOG__ASSIGNMENT_SECONDS", "0", "greater than 0"),
    ("WATCHDOG__STALL_SECONDS", "never", "valid number"),
    ("LOG__LEVEL", "verbose", "match pattern"),
    ("LOG__FORMAT", "xml", "match pattern"),
    ("THRESHOLDS", '[{"kpi": "I9"}]', "match pattern"),
    ("THRESHOLDS", '[{"window": "5m"}]', "match pattern"),
    ("THRESHOLDS", '[{"ratio": 5}]', "less than or equal to 1"),
    ("THRESHOLDS", '[{"ratio": 0}]', "greater than 0"),
    ("THRESHOLDS", '[{"min_volume": 0}]', "greater than or equal to 1"),
    ("THRESHOLDS", '[{"kpi": "I1", "limit": 0.05}]', "not permitted"),
    ("THRESHOLDS", "0.05", ""),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG, ids=[f"{name}={value[:20]}" for name, value, _ in WRONG])
def test_a_wrong_value_is_one_line_that_names_its_variable(monkeypatch, name, value, words):
    """Every wrong value is a ConfigurationError of one line with the variable's name, what is wrong, and where to look."""
    monkeypatch.setenv(f"PORTALPULSE_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    text = str(refused.value)
    section = name.split("__", maxsplit=1)[0]
    assert f"PORTALPULSE_{section}" in text
    if "not permitted" not in words and "at least batch_rows" not in words:
        assert f"PORTALPULSE_{name}" in text
    assert words in text
    assert "\n" not in text
    assert "docs/settings.md" in text
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["[", "{'kpi': 'I1'}", "yes"])
def test_what_should_be_json_and_is_not(monkeypatch, text):
    """A list that is no JSON is one line, too, and names the setting."""
    monkeypatch.setenv("PORTALPULSE_THRESHOLDS", text)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "thresholds" in str(refused.value).lower()
    assert "\n" not in str(refused.value)


def test_several_wrong_values_are_counted(monkeypatch):
    """The first wrong one is named, the rest is counted."""
    monkeypatch.setenv("PORTALPULSE_KAFKA__PARTITIONS", "0")
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", "x")
    with pytest.raises(ConfigurationError, match=r"\(1 more wrong\)"):
        load_settings()


def test_a_password_is_never_shown(monkeypatch):
    """Neither the settings' repr nor an error shows the ClickHouse password."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "http://u:s3cret@h:1/db")
    assert "s3cret" not in repr(load_settings())
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "tcp://u:s3cret@h:1/db")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


def test_what_is_set_is_read(monkeypatch):
    """Nested variables reach their fields and leave the others at their defaults; lists are split; JSON is read."""
    monkeypatch.setenv("PORTALPULSE_KAFKA__BOOTSTRAP", " a:1, b:2 ,")
    monkeypatch.setenv("PORTALPULSE_KAFKA__PARTITIONS", "8")
    monkeypatch.setenv("PORTALPULSE_DATA_DIR", "/data")
    monkeypatch.setenv("PORTALPULSE_THRESHOLDS", '[{"kpi": "I5", "window": "7d", "ratio": 0.5, "min_volume": 10}]')
    settings = load_settings()
    assert settings.kafka.bootstrap == ("a:1", "b:2")
    assert settings.kafka.partitions == 8
    assert settings.kafka.topic == "dvc.dossier-events.v1"
    assert str(settings.data_dir) == "/data"
    assert settings.thresholds == (ThresholdPolicy(kpi="I5", window="7d", ratio=0.5, min_volume=10),)


def test_no_thresholds_is_a_choice(monkeypatch):
    """An empty list turns every policy off."""
    monkeypatch.setenv("PORTALPULSE_THRESHOLDS", "[]")
    assert load_settings().thresholds == ()


def test_the_command_line_wins(monkeypatch):
    """What a command passes on is stronger than the environment."""
    monkeypatch.setenv("PORTALPULSE_CLOCK", "2024-01-01T00:00:00+07:00")
    assert load_settings(clock="system").clock == "system"


def test_defaults():
    """Without any variable the settings are those of one machine."""
    settings = load_settings()
    assert settings.clickhouse.url.get_secret_value() == "chdb:.portalpulse/clickhouse"
    assert settings.kafka.bootstrap == ("127.0.0.1:9092",)
    assert [(policy.kpi, policy.window, policy.ratio, policy.min_volume) for policy in settings.thresholds] == [
        ("I1", "1d", 0.05, 30),
        ("I1", "ytd", 0.05, 30),
    ]
