"""How a command reaches the running process: its address, and one request whose every failure is one sentence.

Not running, hung and refused are errors of their own, because each has another remedy: a process that hangs is not helped by
starting a second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from domain.errors import PortalPulseError, UnavailableError
from pipeline.addresses import SIGNATURE, owner_of, read_addresses
from pipeline.hints import command
from pipeline.settings import Settings

#: A process that lives answers /healthz at once; this leaves room for a busy machine (seconds).
_ALIVE_SECONDS: Final = 10.0


class NotRunningError(UnavailableError):
    """No process is there to be asked."""


class AnotherProgramError(NotRunningError):
    """Another program answers at the address."""


class HungError(UnavailableError):
    """The process is there and does not answer in time."""


class AnswerError(UnavailableError):
    """The process answers with an error. ``status`` is that of HTTP, ``code`` the process's own name of the error or empty."""

    def __init__(self, problem: str, *, status: int, code: str = "", remedy: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Process:
    """A process of portalpulse as a command sees it.

    ``url`` has no path. ``folder``: the data folder whose addresses.json names it; None: the settings name it.
    """

    url: str
    folder: Path | None = None
    token: str = ""

    def ask(self, method: str, path: str, *, timeout: float = 60.0, **request: Any) -> Any:
        """The JSON that it answers at ``path``.

        Raises:
            NotRunningError: nothing listens there, or another program.
            HungError: it does not answer within ``timeout`` seconds.
            AnswerError: it answers with an error; the message is the process's own.
        """
        answer = self._request(method, path, timeout=timeout, **request)
        try:
            fields = answer.json()
        except ValueError:
            fields = None
        if answer.status_code == httpx.codes.OK:
            self._demand_ours(answer)
            if fields is not None:
                return fields
        said = fields if isinstance(fields, dict) else {}
        text = said.get("error") or " ".join(answer.text.split())[:200] or "nothing"
        raise AnswerError(
            f"{self.url}{path.partition('?')[0]} answers {answer.status_code}: {text}",
            status=answer.status_code,
            code=str(said.get("code", "")),
        )

    def demand_life(self) -> None:
        """Return when a process of portalpulse answers, well or not.

        Raises:
            NotRunningError: nothing listens there, or (AnotherProgramError) something that is none of ours.
            HungError: it does not answer.
        """
        self._demand_ours(self._request("GET", "/healthz", timeout=_ALIVE_SECONDS))

    def _demand_ours(self, answer: httpx.Response) -> None:
        if SIGNATURE not in answer.headers:
            if self._gone:
                raise self._not_running()
            raise AnotherProgramError(
                f"Another program answers at {self.url} (status {answer.status_code}).",
                remedy="Correct PORTALPULSE_HTTP__HOST and PORTALPULSE_HTTP__PORT, or name the folder of the stack with --data.",
            )

    def _request(self, method: str, path: str, *, timeout: float, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            return httpx.request(method, f"{self.url}{path}", timeout=timeout, headers=headers, trust_env=False, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._not_running() from error
        except (httpx.TimeoutException, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            if self._gone:
                raise self._not_running() from error
            what = f"did not answer within {timeout:g} s" if isinstance(error, httpx.TimeoutException) else "broke off its answer"
            raise HungError(f"{self._name} {what}.", remedy=self._look) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NotRunningError(f"{self.url} cannot be asked: {error}.", remedy="Correct the address.") from error

    def _not_running(self) -> NotRunningError:
        if self.folder is None:
            return NotRunningError(
                f"Nothing listens at {self.url}.",
                remedy="Start the stack with `portalpulse up`, or say with --data or PORTALPULSE_HTTP__PORT where it runs.",
            )
        if self._gone:
            return NotRunningError(
                f"No stack runs on {self.folder}; the last one was killed.",
                remedy=f"Start it with `{command('up', '--data', self.folder)}`.",
            )
        return NotRunningError(f"{self._name} does not listen.", remedy=self._look)

    @property
    def _gone(self) -> bool:
        """Whether the stack that wrote the address has ended."""
        return self.folder is not None and owner_of(self.folder) is None

    @property
    def _name(self) -> str:
        if self.folder is None:
            return f"The process at {self.url}"
        return f"The stack on {self.folder}{_process(owner_of(self.folder))} runs, but its process at {self.url}"

    @property
    def _look(self) -> str:
        if self.folder is None:
            return "It runs and is busy or hangs: see its log, and start it again when it hangs."
        return (
            f"`portalpulse up` starts again what ends or hangs: wait a minute. When it stays so, see {self.folder / 'logs'}, "
            "end that stack with Ctrl-C and start it again."
        )


def is_embedded(settings: Settings) -> bool:
    """Whether the storage is a folder that one process owns."""
    return settings.clickhouse.url.get_secret_value().startswith("chdb:")


def running(settings: Settings, data: Path | None) -> Process:
    """The process that runs on ``data``, or on the folder or port of the settings; it answers.

    Raises:
        NotRunningError: there is none.
        HungError: it does not answer.
        ConfigurationError: the file of addresses cannot be read.
    """
    folder = data or settings.data_dir
    token = settings.http.token.get_secret_value()
    addresses = read_addresses(folder)
    if addresses is not None:
        process = Process(addresses.http.rstrip("/"), folder, token)
    else:
        owner = owner_of(folder)
        if owner is not None:
            raise NotRunningError(
                f"The stack on {folder}{_process(owner)} is still starting.",
                remedy="Wait until `portalpulse up` has printed its addresses.",
            )
        if data is not None:
            raise NotRunningError(f"No stack runs on {data}.", remedy=f"Start it with `{command('up', '--data', data)}`.")
        process = Process(url_of(settings.http.host, settings.http.port), None, token)
    process.demand_life()
    return process


def url_of(host: str, port: int) -> str:
    """The URL of a process that listens on ``host``; one that listens everywhere is asked on this machine."""
    reached = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing listens here
    return f"http://[{reached}]:{port}" if ":" in reached and not reached.startswith("[") else f"http://{reached}:{port}"


def is_absent(error: PortalPulseError, code: str) -> bool:
    """Whether a process says that there is no such thing, by the name that it gives to that."""
    return isinstance(error, AnswerError) and error.status == httpx.codes.NOT_FOUND and error.code == code


def _process(owner: int | None) -> str:
    return f" (process {owner})" if owner else ""
