"""Settings: what is read, and what every wrong value says."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from domain.errors import ConfigurationError
from pipeline.settings import KafkaSettings, Settings, ThresholdPolicy, load_settings
from pipeline.wiring.storage import target_of

WRONG = [
    ("KAFKA__BOOTSTRAP", "", "at least one host:port"),
    ("KAFKA__BOOTSTRAP", "localhost", "'localhost' is not host:port"),
    ("KAFKA__BOOTSTRAP", "a:1,b:0", "'b:0' is not host:port"),
    ("KAFKA__BOOTSTRAP", "a:99999", "is not host:port"),
    ("KAFKA__BOOTSTRAP", ":9092", "is not host:port"),
    ("KAFKA__BOOTSTRAP", "localhost:²", "'localhost:²' is not host:port"),
    ("KAFKA__BOOTSTRAP", "localhost:٣", "is not host:port"),
    ("KAFKA__BOOTSTRAP", "PLAINTEXT://localhost:9092", "is not host:port: omit PLAINTEXT://"),
    ("KAFKA__BOOTSTRAP", "kafka 1:9092", "'kafka 1:9092' is not host:port"),
    ("KAFKA__BOOTSTRAP", "kafka-1:9092;kafka-2:9092", "is not host:port: separate addresses with commas"),
    ("DATA_DIR", "", "it is empty; the current folder is called ."),
    ("CLOCK", "", "'' is neither 'system' nor a time with an offset"),
    ("CLOCK", "yesterday", "Write for example PORTALPULSE_CLOCK=2024-08-20T23:59:59+07:00"),
    ("CLOCK", "0001-01-01T00:00:00Z", "outside of the days that can be counted"),
    ("HTTP__HOST", "", "at least 1 character"),
    *(
        ("HTTP__HOST", text, "is not a name or an address of a machine")
        for text in ("http://h", "h/x", "h?", "h#x", "u@h", "h\tx", " ")
    ),
    ("KAFKA__TOPIC", "", "at least 1 character"),
    ("KAFKA__TOPIC", "x" * 250, "at most 249"),
    ("KAFKA__GROUP", "", "at least 1 character"),
    ("KAFKA__PARTITIONS", "0", "is below 1"),
    ("KAFKA__PARTITIONS", "four", "is not a whole number"),
    ("KAFKA__PARTITIONS", "true", "is not a whole number"),
    ("KAFKA__SESSION_TIMEOUT_SECONDS", "5.9", "session_timeout_seconds 5.9 is below 6"),
    ("KAFKA__SESSION_TIMEOUT_SECONDS", "91", "is above 90"),
    ("KAFKA__SESSION_TIMEOUT_SECONDS", "nan", ""),
    ("KAFKA__FETCH_BYTES", "1", "is below 65,536"),
    ("KAFKA__FETCH_MIN_BYTES", "-1", "is below 1"),
    ("KAFKA__FETCH_MAX_WAIT_MS", "1.5", "is not a whole number"),
    ("KAFKA__TOPC", "x", "did you mean PORTALPULSE_KAFKA__TOPIC?"),
    ("CLICKHOUSE__URL", "localhost:8123", "must start with chdb:, http:// or https://"),
    ("CLICKHOUSE__URL", "", "must start with"),
    ("CLICKHOUSE__TIMEOUT_SECONDS", "0", "is below 0.1"),
    ("CLICKHOUSE__TIMEOUT_SECONDS", "5e-324", "is below 0.1"),
    ("CLICKHOUSE__TIMEOUT_SECONDS", "inf", "is above 600"),
    ("HTTP__PORT", "65536", "port 65536 is above 65,535"),
    ("HTTP__PORT", "-1", "is below 0"),
    ("HTTP__PORT", "false", "is not a whole number"),
    ("HTTP__READ_TOKEN", "short", "at least 16 characters"),
    ("HTTP__OPERATE_TOKEN", "a-token-of-sixteen,short", "each token must have at least 16 characters"),
    ("HTTP__OPERATE_TOKEN", "a token with blanks", "visible ones of ASCII"),
    ("HTTP__ALLOWED_HOSTS", "http://board.example", "is not a name of a host"),
    ("HTTP__REQUESTS_PER_SECOND", "-1", "is below 0"),
    ("INGEST__BATCH_ROWS", "0", "is below 1"),
    ("INGEST__MAX_UNSTORED_ROWS", "10", "max_unstored_rows must be at least batch_rows"),
    ("INGEST__MAX_UNSTORED_BYTES", "1", "is below 1,048,576"),
    ("INGEST__LINGER_MS", "soon", "is not a whole number"),
    ("INGEST__FUTURE_TOLERANCE_SECONDS", "-1", "is below 0"),
    ("INGEST__FUTURE_TOLERANCE_SECONDS", "inf", ""),
    ("INGEST__FUTURE_TOLERANCE_SECONDS", "1e300", ""),
    ("INGEST__MINUTE_INTERVAL_MS", "1", "is below 10"),
    ("INGEST__DAY_INTERVAL_MS", "0", "is below 10"),
    ("INGEST__PROCEDURE_INTERVAL_MS", "0", "is below 10"),
    ("WATCHDOG__ASSIGNMENT_SECONDS", "0", "0 is below 1"),
    ("WATCHDOG__STALL_SECONDS", "never", "'never' is not a number"),
    ("LOG__LEVEL", "verbose", "'verbose' is none of debug, info, warning, error"),
    ("LOG__LEVEL", "warn", "did you mean warning?"),
    ("LOG__LEVEL", "DEBUG", "did you mean debug?"),
    ("KAFKA", "[1]", "it wants an object {bootstrap, topic, portal_prefix, group,"),
    ("KAFKA", '{"topc": "x"}', "not a setting of portalpulse"),
    ("LOG__FORMAT", "xml", "'xml' is none of console, json"),
    ("DEAD_LETTERS__MAX_RATIO", "50", "max_ratio 50 is above 1: write 0.5 for 50 %"),
    ("THRESHOLDS", '[{"kpi": "I9"}]', "policy 1: kpi: 'I9' is none of I1, I5"),
    ("THRESHOLDS", '[{}, {"window": "5m"}]', "policy 2: window: '5m' is none of 1h, 1d, 7d, 30d, month, ytd"),
    ("THRESHOLDS", '[{"ratio": 5}]', "policy 1: ratio 5 is above 1: write 0.05 for 5 %."),
    ("THRESHOLDS", '[{"ratio": "2.5"}]', "write 0.025 for 2.5 %"),
    ("THRESHOLDS", '[{"ratio": 101}]', "ratio 101 is above 1."),
    ("THRESHOLDS", '[{"ratio": 0}]', "ratio 0 must be above 0"),
    ("THRESHOLDS", '[{"min_volume": 0}]', "min_volume 0 is below 1"),
    ("THRESHOLDS", '[{"min_volume": 1' + "0" * 400 + "}]", "is above 1,000,000,000"),
    ("THRESHOLDS", '[{"unit": "H17"}]', "does not know the field 'unit'; it knows kpi, window, block, agency, ratio, low_ratio"),
    ("THRESHOLDS", '[{"agency": "H17"}, {}, {"agency": "H17"}]', "policy 3 is a second one for I1 over 1d of H17"),
    ("THRESHOLDS", '[{"block": "province"}, {"block": "province"}]', "policy 2 is a second one for I1 over 1d of province"),
    ("THRESHOLDS", '[{"block": "province", "agency": "H17"}]', "policy 1 names an agency and a block: write one of them"),
    ("THRESHOLDS", '[{"ration": 0.05}]', "does not know the field 'ration' (did you mean ratio?)"),
    (
        "THRESHOLDS",
        "0.05",
        "wants a JSON list of {kpi, window, block, agency, ratio, low_ratio, target, min_volume}, and this is 0.05",
    ),
    ("THRESHOLDS", '{"kpi": "I1"}', "wants a JSON list of {kpi, window, block, agency, ratio, low_ratio, target, min_volume}"),
    (
        "THRESHOLDS",
        "[5]",
        "policy 1: it wants an object {kpi, window, block, agency, ratio, low_ratio, target, min_volume}, and this is 5",
    ),
    ("THRESHOLDS", '[{"kpi": 5}]', "policy 1: kpi: 5 is not a text"),
    ("THRESHOLDS", '[{"min_volume": 1.5}]', "policy 1: min_volume: 1.5 is not a whole number"),
    ("THRESHOLDS", "[null]", "policy 1: it wants an object {kpi, window, block, agency, ratio, low_ratio, target, min_volume}"),
    ("THRESHOLDS", '[{}, {"ratio": 0.1}]', "policy 2 is a second one for I1 over 1d"),
    (
        "THRESHOLDS",
        "=5",
        "wants a JSON list of {kpi, window, block, agency, ratio, low_ratio, target, min_volume}, and this is not JSON",
    ),
    ("THRESHOLDS", "null", "null sets nothing; remove the variable"),
    ("KAFKA", "null", "null sets nothing"),
    ("THRESHOLDS", '[{"ratio": 0.05, "ratio": 0.5}]', "the field 'ratio' stands twice in one object"),
    ("THRESHOLDS", '[{"ratio": true}]', "it holds true or false"),
    ("KAFKA", '{"partitions": true}', "it holds true or false"),
    ("THRESHOLDS", "[" * 100_000, "it is nested too deep"),
    ("KAFKA", "[" * 100_000, "it is nested too deep"),
    ("THRESHOLDS", '[{"' + "y" * 1_000 + '": 1}]', "it does not know the field 'yyy"),
    ("KAFKA__FETCH_BYTES", "5\n", "fetch_bytes 5 is below 65,536"),
    ("KAFKA__FETCH_BYTES", "x\n", "'x\\n' is not a whole number"),
    ("KAFKA__BOOTSTRAP", "x" * 100_000, "is not host:port"),
    ("CLOCK", "1" * 100_000, "is neither 'system' nor a time with an offset"),
    ("KAFKA__TOPIC__X", "1", "not a setting of portalpulse"),
    ("KAFKA__BOOTSTRAP__0", "a:1", "not a setting of portalpulse"),
    ("THRESHOLDS__0__RATIO", "0.1", "not a setting of portalpulse"),
    ("KAFKA", "kafka-1:9092", "write its parts, such as PORTALPULSE_KAFKA__BOOTSTRAP"),
    ("KAFAK__BOOTSTRAP", "a:1", "did you mean PORTALPULSE_KAFKA__BOOTSTRAP?"),
    ("KAFKA_BOOTSTRAP", "a:1", "did you mean PORTALPULSE_KAFKA__BOOTSTRAP?"),
    ("HTTP_PORT", "8080", "did you mean PORTALPULSE_HTTP__PORT?"),
    ("CLOK", "system", "did you mean PORTALPULSE_CLOCK?"),
    ("CLOCK__NOW", "system", "not a setting of portalpulse"),
    ("SOMETHING_ELSE", "x", "The variable PORTALPULSE_SOMETHING_ELSE is not a setting of portalpulse."),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG, ids=[f"{name}={value[:20]}" for name, value, _ in WRONG])
def test_a_wrong_value_is_one_line_that_names_its_variable(monkeypatch, name, value, words):
    """Every wrong value is a ConfigurationError of one line with the variable's name, what is wrong, and where to look."""
    monkeypatch.setenv(f"PORTALPULSE_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    text = str(refused.value)
    if not words.startswith(("max_unstored_rows must",)):
        assert f"PORTALPULSE_{name}" in text
    assert words in text
    assert "\n" not in text
    assert len(text) < 700
    assert "docs/settings.md" in text
    assert refused.value.exit_code == 2


def _numbers(model, prefix=""):
    """The names of all numeric settings."""
    for name, found in model.model_fields.items():
        if found.annotation in {int, float}:
            yield prefix + name.upper()
        elif isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel):
            yield from _numbers(found.annotation, f"{prefix}{name.upper()}__")


@pytest.mark.parametrize("name", list(_numbers(Settings)))
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400", "-1", "9" * 30])
def test_every_number_has_bounds(monkeypatch, name, value):
    """No numeric setting takes a number without end, not a number, a negative one or one beyond all measure."""
    monkeypatch.setenv(f"PORTALPULSE_{name}", value)
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


def _variables(model, prefix=""):
    """The name of every variable."""
    for name, found in model.model_fields.items():
        if isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel):
            yield from _variables(found.annotation, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


#: A byte that is not UTF-8, as it arrives from the environment.
ODD = os.fsdecode(b"\xff")
#: Values that would be right, but for the byte in them.
NEARLY = {
    "KAFKA__BOOTSTRAP": f"{ODD}:1",
    "CLICKHOUSE__URL": f"http://u:{ODD}@127.0.0.1:1/x",
    "THRESHOLDS": f'[{{"kpi": "{ODD}"}}]',
}


@pytest.mark.parametrize("name", [name for name in _variables(Settings) if name != "DATA_DIR"])
def test_no_setting_takes_what_is_not_utf8(monkeypatch, name):
    """Clients cannot send half of a surrogate pair: every variable that holds one is named, without its value."""
    monkeypatch.setenv("PORTALPULSE_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("PORTALPULSE_KAFKA__USER", "u")
    monkeypatch.setenv("PORTALPULSE_KAFKA__PASSWORD", "p")
    monkeypatch.setenv(f"PORTALPULSE_{name}", NEARLY.get(name, f"s3cret{ODD}"))
    with pytest.raises(ConfigurationError, match=f"PORTALPULSE_{name} is wrong") as refused:
        load_settings()
    kind = _field(name)
    if kind not in {int, float}:
        assert "it is not UTF-8" in str(refused.value)
    if kind is SecretStr:
        assert "s3cret" not in "".join(traceback.format_exception(refused.value))


def _field(variable):
    """The type of the setting that a variable holds."""
    model = Settings
    for part in variable.lower().split("__"):
        found = model.model_fields[part].annotation
        model = found
    return found


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000"])
@pytest.mark.parametrize(
    ("group", "field"),
    [("KAFKA", "user"), ("KAFKA", "password"), ("KAFKA", "bootstrap"), ("CLICKHOUSE", "url"), ("HTTP", "host")],
)
def test_no_setting_in_json_takes_what_is_no_character(monkeypatch, group, field, text):
    """A group may be written as JSON, whose escapes express what bytes cannot: halves of surrogate pairs and NUL."""
    value = f'["{text}:1"]' if field == "bootstrap" else f'"chdb:{text}"'
    monkeypatch.setenv(f"PORTALPULSE_{group}", f'{{"{field}": {value}}}')
    with pytest.raises(
        ConfigurationError, match=rf"PORTALPULSE_{group}__{field.upper()} is wrong: it (is not UTF-8|holds a NUL)"
    ):
        load_settings()


def test_the_name_of_a_folder_may_have_any_bytes(monkeypatch):
    """The system takes such names, so the settings do, too."""
    monkeypatch.setenv("PORTALPULSE_DATA_DIR", f"/tmp/{ODD}")
    assert os.fsencode(load_settings().data_dir) == b"/tmp/\xff"
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", f"chdb:/tmp/{ODD}")
    assert target_of(load_settings()).folder == Path(f"/tmp/{ODD}")


@pytest.mark.parametrize("text", ["[", "{'kpi': 'I1'}", "yes"])
def test_what_should_be_json_and_is_not(monkeypatch, text):
    """A list that is not JSON is one line, too, names the setting and says its form."""
    monkeypatch.setenv("PORTALPULSE_THRESHOLDS", text)
    with pytest.raises(ConfigurationError, match=r"PORTALPULSE_THRESHOLDS is wrong: it wants a JSON list of \{kpi") as refused:
        load_settings()
    assert "\n" not in str(refused.value)


def test_several_wrong_values_are_counted(monkeypatch):
    """The first wrong one is named, the rest is counted."""
    monkeypatch.setenv("PORTALPULSE_KAFKA__PARTITIONS", "0")
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", "x")
    with pytest.raises(ConfigurationError, match="1 more are wrong"):
        load_settings()


def test_a_password_is_never_shown(monkeypatch):
    """Neither the settings' repr nor an error shows the ClickHouse password."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "http://u:s3cret@h:1/db")
    assert "s3cret" not in repr(load_settings())
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "tcp://u:s3cret@h:1/db")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


def test_a_secret_in_the_wrong_place_is_never_shown(monkeypatch):
    """A misspelt name or a wrong group with a secret in it is named without its value, in the cause of the error, too."""
    for name in ("KAFKA__PASSWRD", "KAFAK__PASSWORD", "HTTP__OPERATE_TOKN", "KAFKA__PASSWORD", "KAFKA"):
        with monkeypatch.context() as patched:
            patched.setenv(f"PORTALPULSE_{name}", "s3cret")
            with pytest.raises(ConfigurationError) as refused:
                load_settings()
            assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    monkeypatch.setenv("PORTALPULSE_KAFKA", '"s3cret"')  # JSON, but not an object
    with pytest.raises(ConfigurationError, match="wants an object") as refused:
        load_settings()
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(("first", "second", "refused"), [("a", "b", True), ("a", "a", False)])
def test_a_variable_in_both_cases_is_no_lottery(monkeypatch, first, second, refused):
    """Upper and lower case are one name: two values for it are refused, whichever comes last in the environment."""
    monkeypatch.setenv("portalpulse_kafka__topic", first)
    monkeypatch.setenv("PORTALPULSE_KAFKA__TOPIC", second)
    if not refused:
        assert load_settings().kafka.topic == "a"
        return
    with pytest.raises(ConfigurationError, match="PORTALPULSE_KAFKA__TOPIC and portalpulse_kafka__topic are one setting"):
        load_settings()


def test_what_others_set_is_left_alone(monkeypatch):
    """Variables of deploy/setup.sh, and those that Kubernetes makes for a Service called portalpulse, are not ours to judge."""
    for name, value in (
        ("NO_APT", "1"),
        ("SETUP_LOCKED", "1"),
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "8080"),
        ("SERVICE_PORT_HTTP", "8080"),
        ("PORT", "tcp://10.0.0.1:8080"),
        ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("EXPORTER_SERVICE_HOST", "10.0.0.2"),
        ("EXPORTER_PORT", "tcp://10.0.0.2:8080"),
    ):
        monkeypatch.setenv(f"PORTALPULSE_{name}", value)
    assert load_settings().http.port == 8080


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


@pytest.mark.parametrize("folder", ["/data", "here", "//data"])
def test_the_embedded_storage_is_in_the_data_folder(monkeypatch, folder):
    """A worker, `migrate` and commands without a running process use the folder that `up` uses."""
    monkeypatch.setenv("PORTALPULSE_DATA_DIR", folder)
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS", "5")
    assert target_of(load_settings()).folder == Path(folder, "clickhouse").absolute()
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "chdb:.portalpulse/clickhouse")
    assert target_of(load_settings()).folder == Path(".portalpulse/clickhouse").absolute()


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


def test_secrets_come_from_files(monkeypatch, tmp_path):
    """Files of PORTALPULSE_SECRETS_DIR are settings like variables, checked and kept secret alike; none may be set twice."""
    url, token = tmp_path / "PORTALPULSE_CLICKHOUSE__URL", tmp_path / "PORTALPULSE_HTTP__OPERATE_TOKEN"
    monkeypatch.setenv("PORTALPULSE_SECRETS_DIR", str(tmp_path))
    url.write_text("http://user:p%40ss@clickhouse:8123/portalpulse\n", encoding="utf-8")
    token.write_text("sixteen-characters-or-more", encoding="utf-8")
    (tmp_path / "..data").symlink_to(tmp_path)  # as in a volume of Kubernetes
    (tmp_path / "recipients.yaml").write_text("not a setting", encoding="utf-8")
    settings = load_settings()
    assert settings.clickhouse.url.get_secret_value() == "http://user:p%40ss@clickhouse:8123/portalpulse"
    assert settings.http.operate_token.get_secret_value() == "sixteen-characters-or-more"

    def refusal():
        with pytest.raises(ConfigurationError) as caught:
            load_settings()
        text = "".join(traceback.format_exception(caught.value))
        assert "hidden" not in text
        return str(caught.value)

    token.write_text("hidden", encoding="utf-8")
    assert "PORTALPULSE_HTTP__OPERATE_TOKEN is wrong: each token must have at least 16 characters" in refusal()
    token.write_bytes(b"hidden \xff")
    assert f"The file {token} is not UTF-8" in refusal()
    token.rename(tmp_path / "PORTALPULSE_HTTP__OPERATE_TOKN")
    (tmp_path / "PORTALPULSE_HTTP__OPERATE_TOKN").write_text("hidden", encoding="utf-8")
    assert "did you mean PORTALPULSE_HTTP__OPERATE_TOKEN?" in refusal()
    (tmp_path / "PORTALPULSE_HTTP__OPERATE_TOKN").unlink()
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "http://other@clickhouse:8123/portalpulse")
    assert f"PORTALPULSE_CLICKHOUSE__URL is set twice: in the environment and by the file {url}" in refusal()
    monkeypatch.setenv("PORTALPULSE_SECRETS_DIR", str(tmp_path / "absent"))
    assert "PORTALPULSE_SECRETS_DIR names" in refusal()


def test_the_topics_that_are_read():
    """One shared topic; with a prefix the topic of every agency, or of the one portal that is named. A prefix ends with a dot."""
    codes = ("G01", "H17")
    assert KafkaSettings().topics(codes) == ("dvc.dossier-events.v1",)
    several = KafkaSettings(portal_prefix="dvc.portal.")
    assert several.topics(codes) == ("dvc.portal.G01", "dvc.portal.H17")
    assert several.portal_of("dvc.portal.H17") == "H17"
    assert several.portal_of("dvc.dossier-events.v1") is None
    assert KafkaSettings(portal_prefix="dvc.portal.", topic="dvc.portal.H17").topics(codes) == ("dvc.portal.H17",)
    with pytest.raises(ValueError, match="it must end with a dot"):
        KafkaSettings(portal_prefix="dvc.portal")


@pytest.mark.parametrize(
    "name",
    [
        *("BOARD__PROMETHEUS_URL", "BOARD__ALERTMANAGER_URL", "HTTP__URL", "HTTP__HOST", "KAFKA__BOOTSTRAP"),
        *(
            f"NOTIFY__{part}_URL"
            for part in ("PROMETHEUS", "API", "ALERTMANAGER", "RELAY", "HEARTBEAT", "BOARD", "AGENCY", "RUNBOOK")
        ),
    ],
)
def test_no_address_that_is_shown_may_hold_a_password(monkeypatch, name):
    """Addresses of pages and brokers are in messages and logs: one with a login is refused, and not repeated."""
    scheme = "" if name.startswith("KAFKA") else "http://"
    monkeypatch.setenv(f"PORTALPULSE_{name}", f"{scheme}somebody:SECRET@host:1")
    with pytest.raises(ConfigurationError, match=f"PORTALPULSE_{name}") as caught:
        load_settings()
    assert "SECRET" not in f"{caught.value} {caught.value.remedy} {caught.value.__cause__}"
