"""The whole local stack with the published scenario of 2024, shared by the tests of this folder."""

from __future__ import annotations

import itertools

import httpx
import pytest

from deploy.native.processes import wait_until
from deploy.native.stack import LocalStack
from deploy.native.stack_options import StackOptions
from producers.portals.produce import produce_scenario, scenario_messages
from producers.portals.scenarios import load_scenario
from producers.sending.message_stream import MessageStream
from producers.sending.worker_processes import Broker, run_task

TOPIC = "dvc.dossier-events.v1"
SEED = 1
CLOCK = "2024-08-20T23:59:59+07:00"


class LoadedStack:
    """A running stack with the clock at the end of the scenario, and what was sent to it."""

    def __init__(self, stack):
        self.stack = stack
        self.scenario = load_scenario("emc-2024")
        self.http = httpx.Client(timeout=30, trust_env=False)
        self._broker = Broker((stack.bootstrap,), TOPIC)
        self.summary = produce_scenario(scenario="emc-2024", seed=SEED, rate=None, broker=self._broker)
        self.await_tallies()

    def send_again(self, messages):
        """Send the first ``messages`` of the scenario again (None: all), with the same seed and therefore the same bytes."""
        again = itertools.islice(scenario_messages("emc-2024", seed=SEED), messages)
        return run_task(MessageStream("again", again), broker=self._broker, processes=1, on_progress=lambda _: None)

    def status(self):
        """The answer of /api/v1/status."""
        return self.http.get(f"{self.stack.api}/api/v1/status").raise_for_status().json()

    def await_tallies(self):
        """Wait until everything sent is stored and tallied, and the lag is 0."""

        def complete():
            status = self.status()
            events = status["events"]
            return status["consumer_lag"] == 0 and events["stored"] == events["tallied"] == self.summary.distinct

        wait_until(complete, timeout=120, what="every event of the scenario to be tallied")

    def figures(self, first="2024-01-01", last="2024-08-20"):
        """The report's rows by code."""
        answer = self.http.get(f"{self.stack.api}/api/v1/report", params={"from": first, "to": last})
        return {row["code"]: row for row in answer.raise_for_status().json()["rows"]}

    def query(self, promql):
        """The samples that Prometheus finds now: (labels, value)."""
        answer = self.http.get(f"{self.stack.addresses.prometheus}/api/v1/query", params={"query": promql})
        return [(sample["metric"], float(sample["value"][1])) for sample in answer.raise_for_status().json()["data"]["result"]]


@pytest.fixture(scope="module")  # its programs would take a part of the machine from all tests that follow
def loaded(tmp_path_factory):
    """Kafka, worker with embedded ClickHouse, Prometheus and Alertmanager, with the scenario in them."""
    options = StackOptions(
        data_dir=tmp_path_factory.mktemp("stack"),
        topic=TOPIC,
        group="portalpulse",
        partitions=4,
        clock=CLOCK,
        quick=True,
        inherit=False,
    )
    with LocalStack(options) as stack:
        stack.start()
        yield LoadedStack(stack)
