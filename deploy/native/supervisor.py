"""Starts a part of the stack again when it ended by itself: after growing pauses, within a limit, and never without a word.

A state machine that the foreground asks again and again; it waits for nothing itself, so Ctrl-C is heard at any moment. A part is
started when what it needs answers. When a part that something else needs runs and does not answer, it is ended and started again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from deploy.native.service import Service
from domain.errors import UnavailableError

#: Exit status of a process that refuses its configuration or cannot reach what it needs.
REFUSED_STATUS = 2
#: So many starts in a row that end with it are enough: the next one would end likewise.
MOST_REFUSALS = 2
#: A part that others need and that runs without an answer for this long is ended.
HANG_SECONDS = 15.0
#: A part that must answer although none waits for it is asked this often, and ended after so long without an answer.
LOOK_SECONDS = 5.0
SILENT_SECONDS = 60.0
#: So many looks without an answer besides: a machine that stood still did not ask.
SILENT_LOOKS = 6
#: The longest wait for one answer.
PROBE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most ``limit`` restarts of a part in ``within_seconds``, after pauses that double from the first to the longest."""

    limit: int = 5
    within_seconds: float = 600.0
    first_pause: float = 1.0
    longest_pause: float = 30.0

    def pause(self, recent: int) -> float:
        """Seconds before the next start, after ``recent`` restarts within the time."""
        return float(min(self.longest_pause, self.first_pause * 2**recent))


class Observer(Protocol):
    """Hears what happens to the parts; names are those of their processes."""

    def ended(self, name: str, cause: str, *, pause: float, restart: int) -> None:
        """A part ended because of ``cause`` and is started again after ``pause`` seconds, for the ``restart``-th time."""
        ...

    def is_back(self, name: str, *, seconds: float) -> None:
        """It answers again, so many seconds after it ended."""
        ...

    def gives_up(self, name: str, cause: str) -> None:
        """It is not started again, and the whole stack ends."""
        ...


@dataclass(slots=True)
class Supervised:
    """A part that runs when the supervision begins.

    ``needs``: parts that must answer before it is started. ``restartable``: whether a new process can take over at all.
    ``final``: exit statuses after which it is never started again. ``watched``: whether it must answer although no part needs it.
    """

    part: Service
    needs: Sequence[Service] = ()
    restartable: bool = True
    final: frozenset[int] = frozenset()
    watched: bool = False

    state: Literal["up", "waiting", "starting"] = field(default="up", init=False)
    since: float = field(default=0.0, init=False)  # when the state began
    due: float = field(default=0.0, init=False)
    down_since: float = field(default=0.0, init=False)
    silent_since: float | None = field(default=None, init=False)
    silent_looks: int = field(default=0, init=False)
    next_look: float = field(default=0.0, init=False)
    refusals: int = field(default=0, init=False)
    restarts: deque[float] = field(default_factory=deque, init=False)

    @property
    def name(self) -> str:
        """The name of its process."""
        return self.part.process.name


class Supervisor:
    """Looks after ``parts``, those that others need first; call ``tick`` about twice a second."""

    def __init__(
        self,
        parts: Sequence[Supervised],
        *,
        observer: Observer,
        monotonic: Callable[[], float],
        policy: RestartPolicy | None = None,
    ) -> None:
        self._parts = parts
        self._observer = observer
        self._monotonic = monotonic
        self._policy = policy or RestartPolicy()

    def tick(self) -> None:
        """Look at every part once and do what is due.

        Raises:
            UnavailableError: a part ended that cannot or must not be started again; with the end of its log.
        """
        for supervised in self._parts:
            process = supervised.part.process
            if supervised.state == "waiting":
                self._start_if_due(supervised)
            elif not process.running:
                self._ended(supervised, process.how_ended)
            elif supervised.state == "starting":
                self._look_at_start(supervised)
            elif supervised.watched:
                self._look_at_silence(supervised)

    def _start_if_due(self, supervised: Supervised) -> None:
        now = self._monotonic()
        if now < supervised.due or not all(self._serves(need) for need in supervised.needs):
            return
        supervised.state, supervised.since = "starting", now
        supervised.restarts.append(now)
        try:
            supervised.part.launch()
        except UnavailableError as error:
            self._ended(supervised, f"cannot be started: {error.problem}")

    def _look_at_start(self, supervised: Supervised) -> None:
        now = self._monotonic()
        if answers(supervised.part):
            supervised.state, supervised.since, supervised.refusals = "up", now, 0
            self._observer.is_back(supervised.name, seconds=now - supervised.down_since)
        elif now - supervised.since > supervised.part.start_seconds:
            supervised.part.stop()
            self._ended(supervised, f"did not answer within {supervised.part.start_seconds:.0f} s of its start")

    def _look_at_silence(self, supervised: Supervised) -> None:
        """End a part that has not answered for long; it is started again."""
        now = self._monotonic()
        if now < supervised.next_look:
            return
        supervised.next_look = now + LOOK_SECONDS
        if answers(supervised.part):
            supervised.silent_since, supervised.silent_looks = None, 0
            return
        supervised.silent_looks += 1
        if supervised.silent_since is None:
            supervised.silent_since = now
        elif now - supervised.silent_since >= SILENT_SECONDS and supervised.silent_looks >= SILENT_LOOKS:
            supervised.silent_since, supervised.silent_looks = None, 0
            supervised.part.stop()
            self._ended(supervised, f"ran without answering for {SILENT_SECONDS:.0f} s")

    def _serves(self, part: Service) -> bool:
        """Whether a needed part answers; one that has not for long, although it runs, is ended."""
        needed = next((supervised for supervised in self._parts if supervised.part is part), None)
        if needed is None:
            return answers(part)
        if needed.state != "up" or not part.process.running:
            return False
        if answers(part):
            needed.silent_since = None
            return True
        now = self._monotonic()
        if needed.silent_since is None:
            needed.silent_since = now
        elif now - needed.silent_since > HANG_SECONDS:
            needed.silent_since = None
            part.stop()
            self._ended(needed, f"ran without answering for {HANG_SECONDS:.0f} s")
        return False

    def _ended(self, supervised: Supervised, cause: str) -> None:
        now = self._monotonic()
        policy, process = self._policy, supervised.part.process
        if supervised.state == "up":
            supervised.down_since = now
        elif process.exit_code == REFUSED_STATUS:
            supervised.refusals += 1
        while supervised.restarts and now - supervised.restarts[0] > policy.within_seconds:
            supervised.restarts.popleft()
        recent = len(supervised.restarts)
        why_not = (
            "It cannot be started again without losing what it held."
            if not supervised.restartable
            else "Starting it again would change nothing."
            if process.exit_code in supervised.final or supervised.refusals >= MOST_REFUSALS
            else f"It was started again {recent} times within {policy.within_seconds / 60:.0f} minutes."
            if recent >= policy.limit
            else ""
        )
        if why_not:
            self._observer.gives_up(supervised.name, cause)
            tail = process.log_tail()
            said = f" The end of its log:\n{tail}\n" if tail else " "
            raise UnavailableError(f"{supervised.name} {cause}. {why_not}{said}", remedy=f"The whole log is {process.log}.")
        pause = policy.pause(recent)
        supervised.state, supervised.since, supervised.due = "waiting", now, now + pause
        self._observer.ended(supervised.name, cause, pause=pause, restart=recent + 1)


def answers(part: Service) -> bool:
    """Whether the part is ready now."""
    try:
        part.await_ready(timeout=PROBE_SECONDS)
    except UnavailableError:
        return False
    return True
