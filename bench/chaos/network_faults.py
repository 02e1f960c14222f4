"""Faults of the connection to ClickHouse: refused, hanging, slow, cut in the middle of an answer or a request."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final, Literal

from bench.chaos.environment import Environment
from bench.chaos.fault import Fault
from bench.chaos.outage import await_commit, report_outage, run_for, timeout_of
from deploy.native.processes import wait_until

#: An insert at this rate (bytes a second) takes long enough to be interrupted.
SLOW_RATE: Final = 20_000
_BURST: Final = 5_000
_CUT_SECONDS: Final = 60.0
#: Ranges of bytes before a cut: within the headers or the body of an answer, within an insert.
_RESPONSE_CUTS, _REQUEST_CUTS = (1, 1_000), (200, 60_000)


class _NetworkFault(Fault):
    def heal(self, env: Environment) -> None:
        """Let the proxy pass everything again."""
        env.proxy.open()


@dataclass(frozen=True)
class Refusing(_NetworkFault):
    """Nothing listens at ClickHouse's address and open connections are reset."""

    name: str = "clickhouse-refuses"
    seconds: float = 6.0

    def inject(self, env: Environment, source: random.Random) -> None:
        """During a burst."""
        await_commit(env)
        env.traffic.burst(_BURST)
        env.mark_injected()
        env.proxy.refuse()
        report_outage(env, self.name, run_for(env, self.seconds + source.uniform(0.0, 3.0)))


@dataclass(frozen=True)
class Hanging(_NetworkFault):
    """ClickHouse accepts every connection and every byte and answers nothing. Requests arrive late, after the fault."""

    name: str = "clickhouse-hangs"
    seconds: float = 8.0

    def inject(self, env: Environment, source: random.Random) -> None:
        """Longer than the workers' timeout when that is short."""
        await_commit(env)
        env.traffic.burst(_BURST)
        env.mark_injected()
        env.proxy.hang()
        seconds = self.seconds + source.uniform(0.0, 3.0)
        report_outage(env, self.name, run_for(env, seconds, reported=seconds > timeout_of(env)))


@dataclass(frozen=True)
class Slow(_NetworkFault):
    """Every connection to ClickHouse is very slow."""

    name: str = "clickhouse-slow"
    seconds: float = 8.0

    def inject(self, env: Environment, source: random.Random) -> None:
        """Too slow for the traffic, so that a backlog grows."""
        env.traffic.burst(_BURST)
        env.mark_injected()
        env.proxy.slow(source.randint(SLOW_RATE // 4, SLOW_RATE))
        time.sleep(self.seconds)


@dataclass(frozen=True)
class TruncatedMessages(_NetworkFault):
    """Connections are closed, in order, in the middle of an answer or a request, at a random byte."""

    cut: Literal["half_response", "half_request"] = "half_response"
    cuts: int = 20

    def inject(self, env: Environment, source: random.Random) -> None:
        """Cut ``cuts`` times; the proxy is open for a moment in between, so that some calls succeed."""
        low, high = _RESPONSE_CUTS if self.cut == "half_response" else _REQUEST_CUTS
        env.mark_injected()
        for _ in range(self.cuts):
            env.traffic.burst(_BURST // 10)
            before = env.proxy.counts[self.cut]
            getattr(env.proxy, self.cut)(source.randint(low, high))
            wait_until(
                lambda before=before: env.proxy.counts[self.cut] > before,  # type: ignore[misc]
                timeout=env.limit(_CUT_SECONDS),
                what="a cut",
            )
            env.proxy.open()
            time.sleep(source.uniform(0.0, 0.2))


FAULTS: tuple[Fault, ...] = (
    Refusing(),
    Hanging(),
    Slow(),
    TruncatedMessages("clickhouse-half-answers", cut="half_response"),
    TruncatedMessages("clickhouse-half-requests", cut="half_request"),
)
