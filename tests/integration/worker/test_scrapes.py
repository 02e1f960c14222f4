"""Scrapes of a real worker while the real ClickHouse server is suspended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess


@pytest.fixture
def url(chain, tmp_path):
    """The address of an all-in-one worker that has scraped its storage once."""
    worker = PortalPulseProcess("worker", ["--all-in-one"], environment=chain.environment, log_dir=tmp_path)
    worker.launch()
    try:
        wait_until(lambda: _storage_up(worker.url) == 1, timeout=90, what="a whole scrape", children=[worker.process])
        yield worker.url
    finally:
        worker.stop()


def _scrape(address, seconds=30.0):
    """A scrape as Prometheus makes it, with this timeout; None when there is no answer."""
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{seconds:g}"}
    try:
        answer = httpx.get(f"{address}/metrics", headers=headers, timeout=60, trust_env=False)
    except httpx.HTTPError:
        return None
    assert answer.status_code == httpx.codes.OK, answer.text
    return {sample.name: sample.value for family in text_string_to_metric_families(answer.text) for sample in family.samples}


def _storage_up(address):
    return (_scrape(address) or {}).get("portalpulse_storage_up")


def _given_up(address, path):
    """Ask and disconnect before the answer; only a refusal, because too many wait already, may arrive that early."""
    try:
        answer = httpx.get(f"{address}{path}", timeout=httpx.Timeout(60, read=0.2), trust_env=False)
    except httpx.HTTPError:
        return
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE


@pytest.mark.long
def test_a_storage_that_stands_still(url, chain):
    """The worker's own metrics and health stay available after clients gave up, and the figures return by themselves."""
    chain.server.process.suspend()
    try:
        with ThreadPoolExecutor(12) as impatient:
            for path in ("/metrics", "/api/v1/audit/days", "/readyz"):
                list(impatient.map(lambda _, path=path: _given_up(url, path), range(12)))
        found = _scrape(url, seconds=2)
        assert found["portalpulse_storage_up"] == 0
        assert {"portalpulse_worker_consumer_lag_events", "agency_threshold_ratio", "agency_info"} <= found.keys()
        assert not {"agency_kpi_numerator", "portalpulse_newest_event_timestamp_seconds"} & found.keys()
        assert httpx.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == httpx.codes.OK
        ready = httpx.get(f"{url}/readyz", timeout=60, trust_env=False)
        assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert ready.json()["reason"]
    finally:
        chain.server.process.resume()
    wait_until(lambda: _storage_up(url) == 1, timeout=90, what="the figures to come back")
    assert "agency_kpi_numerator" in _scrape(url)
