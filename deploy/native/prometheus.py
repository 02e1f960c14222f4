"""A Prometheus server on a loopback port: scrapes the exporter, evaluates the rules, hands alerts to Alertmanager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from deploy.native.part import Part
from deploy.native.parts import prometheus_binary
from deploy.native.ports import LOOPBACK, free_port
from deploy.native.processes import ChildProcess, wait_until

#: Rules compare with 30 days ago; Prometheus' own default forgets after 15.
RETENTION = "40d"
#: An alert that fires before Prometheus has found the Alertmanager is lost until it is sent again; the default is 1m.
RESEND_DELAY = "5s"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often Prometheus scrapes and evaluates, in seconds."""

    scrape: int
    evaluate: int


#: A nation: agencies change within minutes.
LIVE = Pace(scrape=5, evaluate=5)
#: A demonstration: nobody wants to wait.
DEMO = Pace(scrape=1, evaluate=1)


def render_config(*, targets: dict[str, Sequence[str]], rules: Sequence[Path], alertmanager: str, pace: Pace) -> str:
    """prometheus.yml as text.

    Args:
        targets: job name -> addresses (host:port) that serve /metrics.
        rules: rule files.
        alertmanager: host:port.
        pace: the two intervals.
    """
    config = {
        "global": {
            "scrape_interval": f"{pace.scrape}s",
            "scrape_timeout": f"{pace.scrape}s",
            "evaluation_interval": f"{pace.evaluate}s",
        },
        "rule_files": [str(path) for path in rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


class PrometheusServer(Part):
    """One Prometheus below ``data_dir``; write its configuration with ``configure`` before ``launch``."""

    def __init__(self, *, data_dir: Path, log_dir: Path, binary: Path | None = None) -> None:
        """Find the program.

        Raises:
            ConfigurationError: it is not installed.
        """
        self._folder = data_dir.resolve()
        self.port = free_port()
        self.config = self._folder / "prometheus.yml"
        self.process = ChildProcess(
            "Prometheus",
            [
                binary or prometheus_binary(),
                f"--config.file={self.config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--storage.tsdb.retention.time={RETENTION}",
                f"--web.listen-address={self.address}",
                f"--rules.alert.resend-delay={RESEND_DELAY}",
                "--log.level=warn",
            ],
            log=log_dir.resolve() / "prometheus.log",
            directory=self._folder,
        )

    @property
    def address(self) -> str:
        """host:port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """Where its pages and API are."""
        return f"http://{self.address}"

    def configure(
        self, *, targets: dict[str, Sequence[str]], rules: Sequence[Path], alertmanager: str, pace: Pace = LIVE
    ) -> None:
        """Write prometheus.yml; see ``render_config``. Call it before ``launch``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = render_config(targets=targets, rules=rules, alertmanager=alertmanager, pace=pace)
        self.config.write_text(text, encoding="utf-8")

    def launch(self) -> None:
        """Start it; returns before it answers. Its configuration must be there."""
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until it says that it is ready.

        Raises:
            UnavailableError: it ended (a faulty rule file, say) or did not answer in time.
        """
        await_http(f"{self.url}/-/ready", timeout=timeout or self.start_seconds, child=self.process)


def await_http(url: str, *, timeout: float, child: ChildProcess) -> None:
    """Wait until ``url`` of ``child`` answers 200.

    Raises:
        UnavailableError: the child ended or did not answer so in time.
    """

    def answers() -> bool:
        try:
            return client.get(url).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    with httpx.Client(timeout=5.0, trust_env=False) as client:
        wait_until(answers, timeout=timeout, what=f"{child.name} to be ready at {url}", children=[child])
