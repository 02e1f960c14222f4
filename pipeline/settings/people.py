"""Settings of what people read: messages about alerts, the board, the log."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from pipeline.settings.group import Group, WebAddress, require_token


class NotifySettings(Group):
    """Messages about alerts: the people who get them, secrets of mail and Telegram, and addresses in their texts."""

    recipients_file: str = Field("", description="File (YAML) of the people who are told about alerts; empty: none.")
    smtp_password: SecretStr = Field(
        SecretStr(""),
        description="Password of the mail account, used when the recipients file names no file for it. Never printed.",
    )
    telegram_token: SecretStr = Field(
        SecretStr(""), description="Token of the Telegram bot, used when the recipients file names no file for it. Never printed."
    )
    prometheus_url: WebAddress = Field(
        "",
        description="Address of Prometheus, which is asked whether an alert really ended and for the present rate; empty: not"
        " asked.",
    )
    api_url: WebAddress = Field(
        "",
        description="Address of an exporter, which is asked for the procedures that explain a low rate; empty: messages name"
        " none.",
    )
    alertmanager_url: WebAddress = Field(
        "",
        description="Address of Alertmanager, which is asked for alerts that ended while they were muted; empty: nobody is told.",
    )
    delivery_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token that deliveries to relay and watchdog must have; empty: only this machine may deliver. Never"
        " printed.",
    )
    delivery_token_file: str = Field(
        "",
        description="File on Alertmanager's machine with the delivery token, for the routes written for it; empty: it sends no"
        " token.",
    )
    relay_url: WebAddress = Field(
        "",
        description="Address at which Alertmanager reaches `portalpulse relay`, for routes and doctor; empty:"
        " http://127.0.0.1:9095.",
    )
    heartbeat_url: WebAddress = Field(
        "",
        description="Address at which Alertmanager reaches `portalpulse watchdog`; empty: nobody notices when alerting itself"
        " stops.",
    )
    board_url: WebAddress = Field("", description="Address of the board that messages name; empty: they name none.")
    agency_url: WebAddress = Field(
        "", description="Address of an agency's page that messages name, with {agency} for its code; empty: none."
    )
    runbook_url: WebAddress = Field(
        "", description="Address of the runbook that messages name, with {alert} and {language} (vi, en); empty: none."
    )

    @field_validator("delivery_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        require_token(value.get_secret_value())
        return value


class BoardSettings(Group):
    """The live board at the address of an exporter or all-in-one worker."""

    prometheus_url: WebAddress = Field(
        "",
        description='Address of Prometheus, asked for open alerts and their history; empty: the board says "not connected".',
    )
    alertmanager_url: WebAddress = Field(
        "",
        description="Address of Alertmanager, which is asked for open alerts instead of Prometheus, because it knows the muted"
        " ones.",
    )
    stale_seconds: float = Field(
        600.0,
        ge=1,
        le=86_400,
        description="Figures are shown as old after so many seconds of office hours without an event, or when counting is so"
        " late.",
    )


class LogSettings(Group):
    """Level and form of the log."""

    level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Least severe level that is logged; libraries log from warning on, at debug everything.",
    )
    format: str = Field(
        "console", pattern="^(console|json)$", description="Form of log lines: console for people, json for machines."
    )
