"""A Prometheus server on a loopback port: scrapes the exporter, evaluates the rules, hands alerts to Alertmanager.

It runs in its own folder and reads relative names only: it treats rule files as patterns, and a folder may be called ``[1]``.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from deploy.native.ports import free_port
from deploy.native.processes import ChildProcess
from deploy.native.programs import prometheus_binary
from deploy.native.service import HttpService
from domain.errors import UnavailableError

#: Rules compare with 30 days ago; Prometheus keeps 15 days by default.
RETENTION = "40d"
#: An alert that fires before Prometheus has found the Alertmanager is lost until it is sent again; the default is 1m.
RESEND_DELAY = "5s"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often Prometheus scrapes and evaluates, in seconds."""

    scrape: int
    evaluate: int


#: For `up`: agencies change within minutes.
LIVE = Pace(scrape=5, evaluate=5)
#: For the demo: quick. A scrape can take more than a second on a busy machine, and a late one counts as failed.
DEMO = Pace(scrape=3, evaluate=1)


def as_pattern(path: Path, *, directory: Path) -> str:
    """A pattern that matches exactly ``path``, relative to ``directory``."""
    return re.sub(r"([*?\[\\])", r"\\\1", os.path.relpath(path, directory))


def render_config(*, targets: dict[str, Sequence[str]], rules: Sequence[str], alertmanager: str, pace: Pace) -> str:
    """prometheus.yml as text.

    Args:
        targets: job name -> addresses (host:port) that serve /metrics.
        rules: patterns of rule files, relative to the folder of the configuration.
        alertmanager: host:port.
        pace: the two intervals.
    """
    config = {
        "global": {
            "scrape_interval": f"{pace.scrape}s",
            "scrape_timeout": f"{pace.scrape}s",
            "evaluation_interval": f"{pace.evaluate}s",
        },
        "rule_files": list(rules),
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


class PrometheusServer(HttpService):
    """A Prometheus with its files below ``data_dir``; write its configuration with ``configure`` before ``launch``."""

    def __init__(
        self,
        *,
        data_dir: Path,
        log_dir: Path,
        binary: Path | None = None,
        port: int | None = None,
        resend_delay: str = RESEND_DELAY,
        options: Sequence[str] = (),
    ) -> None:
        """Find the program.

        Args:
            data_dir: the server's own folder.
            log_dir: where prometheus.log goes.
            binary: the program; None = look for it.
            port: the port to listen on; None = a free one.
            resend_delay: how often a firing alert is sent to Alertmanager again. An alert that is not sent for four times as long
                counts as ended there.
            options: further options of the program.

        Raises:
            ConfigurationError: Prometheus is not installed.
        """
        self._folder = data_dir.resolve()
        self._rules: Sequence[Path] = ()
        self.port = port or free_port()
        self.config = self._folder / "prometheus.yml"
        self.process = ChildProcess(
            "Prometheus",
            [
                binary or prometheus_binary(),
                f"--config.file={self.config.name}",
                "--storage.tsdb.path=tsdb",
                f"--storage.tsdb.retention.time={RETENTION}",
                f"--web.listen-address={self.address}",
                f"--rules.alert.resend-delay={resend_delay}",
                "--log.level=warn",
                *options,
            ],
            log=log_dir.resolve() / "prometheus.log",
            directory=self._folder,
        )

    def configure(
        self, *, targets: dict[str, Sequence[str]], rules: Sequence[Path], alertmanager: str, pace: Pace = LIVE
    ) -> None:
        """Write prometheus.yml; see ``render_config``. Call it before ``launch``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rules = rules
        patterns = [as_pattern(path, directory=self._folder) for path in rules]
        text = render_config(targets=targets, rules=patterns, alertmanager=alertmanager, pace=pace)
        self.config.write_text(text, encoding="utf-8")

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until Prometheus reports that it is ready, and check that it loaded all configured rules.

        Raises:
            UnavailableError: it ended (for example because of a wrong rule file), did not answer in time, or has not loaded every
                rule: Prometheus ignores missing rule files, and without rules there would be no alerts.
        """
        super().await_ready(timeout=timeout)
        missing = rule_names(self._rules) - self._loaded_rules() if self._rules else None
        if missing:
            raise UnavailableError(
                f"Prometheus has not loaded {missing.total()} of its rules, among them {min(missing)[1]}.",
                remedy=f"Compare rule_files in {self.config} with the existing files, and see {self.process.log}.",
            )

    def _loaded_rules(self) -> Counter[tuple[str, str]]:
        """(group, rule) of every rule that Prometheus evaluates.

        Raises:
            UnavailableError: Prometheus gives no valid answer.
        """
        try:
            answer = httpx.get(f"{self.url}/api/v1/rules", timeout=10.0, trust_env=False).raise_for_status().json()
            return Counter((group["name"], rule["name"]) for group in answer["data"]["groups"] for rule in group["rules"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(
                f"Prometheus does not report which rules it loaded: {error}.", remedy=f"See {self.process.log}."
            ) from error


def rule_names(files: Sequence[Path]) -> Counter[tuple[str, str]]:
    """(group, rule) of every rule in the files."""
    return Counter(
        (group["name"], rule.get("alert") or rule["record"])
        for path in files
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    )
