"""Settings of what people see and hear: messages about alerts, the board, the log."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from pipeline.settings.group import Group, WebAddress, require_token


class NotifySettings(Group):
    """Messages about alerts: who gets them, secrets of their channels, and addresses in their texts."""

    recipients_file: str = Field("", description="File (YAML) of the people who are told about alerts; empty: none.")
    smtp_password: SecretStr = Field(
        SecretStr(""), description="Password of the mail account, where the recipients file names no file. Never printed."
    )
    telegram_token: SecretStr = Field(
        SecretStr(""), description="Token of the Telegram bot, where the recipients file names no file. Never printed."
    )
    prometheus_url: WebAddress = Field(
        "", description="Prometheus, asked whether an alert really ended and for the present rate; empty: nobody is asked."
    )
    api_url: WebAddress = Field(
        "", description="Exporter, asked for the procedures that explain a low rate; empty: messages have none."
    )
    alertmanager_url: WebAddress = Field(
        "", description="Alertmanager, asked for alerts that ended while they were muted; empty: their end is not told."
    )
    delivery_token: SecretStr = Field(
        SecretStr(""),
        description="Token of deliveries to relay and watchdog, as a bearer; empty: only this machine delivers. Never printed.",
    )
    delivery_token_file: str = Field(
        "", description="Where Alertmanager finds that token, for the routes that are written for it; empty: it sends none."
    )
    relay_url: WebAddress = Field(
        "", description="Where Alertmanager reaches `portalpulse relay`, for routes and doctor; empty: http://127.0.0.1:9095."
    )
    heartbeat_url: WebAddress = Field(
        "", description="Where Alertmanager reaches `portalpulse watchdog`; empty: nobody notices when alerting itself stops."
    )
    board_url: WebAddress = Field("", description="Address of the board in messages; empty: not printed.")
    agency_url: WebAddress = Field("", description="Address of an agency's page, with {agency} for its code; empty: not printed.")
    runbook_url: WebAddress = Field(
        "", description="Address of the runbook, with {alert} and {language} (vi, en); empty: not printed."
    )

    @field_validator("delivery_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        require_token(value.get_secret_value())
        return value


class BoardSettings(Group):
    """The live board at the address of an exporter or all-in-one worker."""

    prometheus_url: WebAddress = Field(
        "", description="Prometheus, asked for open alerts and their history; empty: the board says that it is not connected."
    )
    alertmanager_url: WebAddress = Field(
        "", description="Alertmanager, asked for open alerts in place of Prometheus, because it knows which are muted."
    )
    stale_seconds: float = Field(
        600.0,
        ge=1,
        le=86_400,
        description="Figures count as old after so many seconds of office hours without an event, or when counting is so late.",
    )


class LogSettings(Group):
    """How the log is written."""

    level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Least severe level written; libraries from warning on, and all at debug.",
    )
    format: str = Field("console", pattern="^(console|json)$", description="For people (console) or machines (json).")
