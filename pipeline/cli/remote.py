"""Sends a command's requests to the running process: finds its address, and turns every failure into an error of one sentence.

A process that does not run, hangs or refuses gives different errors, because the remedies differ.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx

from domain.errors import PortalPulseError, UnavailableError, describe_error
from pipeline.addresses import SIGNATURE, owner_of, read_addresses
from pipeline.authorities import trust_of
from pipeline.hints import command
from pipeline.settings import Settings

#: Timeout of /healthz (seconds). A live process answers at once; this allows for a busy machine.
_ALIVE_SECONDS: Final = 10.0
#: What to do about an answer that no process of portalpulse gives.
_BETWEEN: Final = (
    "It does not come from portalpulse as it is: a proxy or another program in between cuts or replaces answers. Correct that, or"
    " name the process itself with PORTALPULSE_HTTP__HOST and PORTALPULSE_HTTP__PORT."
)


class NotRunningError(UnavailableError):
    """No process of portalpulse listens at the address."""


class AnotherProgramError(NotRunningError):
    """Another program listens at the address."""


class HungError(UnavailableError):
    """A process runs, but does not answer in time."""


class AnswerError(UnavailableError):
    """A process answered with an error.

    ``status`` is the HTTP status; ``code`` the name of the error, or ""; ``text`` the message of the process, or "".
    """

    def __init__(self, problem: str, *, status: int, code: str = "", remedy: str = "", text: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.status, self.code, self.text = status, code, text


class _Fields(dict[str, Any]):
    """The fields of an answer. Reading a missing field raises an error: a process of another release has other fields."""

    def __init__(self, found: Mapping[str, Any], *, place: str, release: str) -> None:
        super().__init__(found)
        self._place, self._release = place, release

    def __missing__(self, name: str) -> NoReturn:
        raise AnswerError(
            f"{self._place} answers without the field {name!r}: its process is of release {self._release[:40] or 'unknown'},"
            f" this command of {metadata.version('portalpulse')}.",
            status=httpx.codes.OK,
            remedy="Use the command of the release that runs. If they are the same, a proxy in between changes answers.",
        )


class _Latest:
    """Address and release of the process whose answer came last; the address is "" when no answer came."""

    place = release = ""


def forget() -> None:
    """Forget the latest answer, because another command begins."""
    _Latest.place = _Latest.release = ""


def of_an_answer(error: BaseException) -> AnswerError | None:
    """The error to report when an answer had values of unexpected types; None if ``error`` is another one, or no answer came."""
    kinds = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
    if not _Latest.place or not isinstance(error, kinds):
        return None
    return AnswerError(
        f"{_Latest.place} answers with values that this command cannot use ({describe_error(error)}): its process is of"
        f" release {_Latest.release[:40] or 'unknown'}, this command of {metadata.version('portalpulse')}.",
        status=httpx.codes.OK,
        remedy="Use the command of the release that runs. If they are the same, a proxy in between changes answers; if there is"
        " none, this is a fault of portalpulse: report it.",
    )


@dataclass(frozen=True, slots=True)
class Process:
    """A running process of portalpulse.

    ``url`` has no path. ``folder``: the data folder whose addresses.json names the process, None when the settings name it.
    ``trust``: whose certificates are accepted, see ``pipeline.authorities``.
    """

    url: str
    folder: Path | None = None
    token: str = ""
    trust: ssl.SSLContext | None = None

    def request_json(self, method: str, path: str, *, timeout: float = 60.0, **request: Any) -> Any:
        """Send a request; returns the JSON of the answer.

        Raises:
            NotRunningError: nothing listens at the address, or another program does.
            HungError: the process does not answer within ``timeout`` seconds.
            AnswerError: it answers with an error; the message is the one of the process.
        """
        answer = self._request(method, path, timeout=timeout, **request)
        place, status = f"{self.url}{path.partition('?')[0]}", answer.status_code
        release = answer.headers.get(SIGNATURE, "")
        try:
            fields = answer.json(object_hook=lambda found: _Fields(found, place=place, release=release))
        except (ValueError, RecursionError):
            fields = None
        if status == httpx.codes.OK:
            self._require_signature(answer)
            if isinstance(fields, dict):
                _Latest.place, _Latest.release = place, release
                return fields
            raise AnswerError(
                f"{place} answers with {len(answer.content):,} bytes that are not its JSON.", status=status, remedy=_BETWEEN
            )
        answered_fields = dict(fields) if isinstance(fields, dict) else {}
        text = answered_fields.get("error") or " ".join(answer.text.split())[:200] or "nothing"
        raise AnswerError(
            f"{place} answers {status}: {text}" + ("" if release else "."),
            status=status,
            code=str(answered_fields.get("code", "")),
            text=str(answered_fields.get("error", "")),
            remedy="" if release else _BETWEEN,
        )

    def require_alive(self) -> None:
        """Return when a process of portalpulse answers, healthy or not.

        Raises:
            NotRunningError: nothing listens at the address, or (AnotherProgramError) another program does.
            HungError: the process does not answer.
        """
        self._require_signature(self._request("GET", "/healthz", timeout=_ALIVE_SECONDS))

    def _require_signature(self, answer: httpx.Response) -> None:
        if SIGNATURE not in answer.headers:
            if self._gone:
                raise self._not_running()
            raise AnotherProgramError(
                f"Another program answers at {self.url} (status {answer.status_code}).",
                remedy="Correct PORTALPULSE_HTTP__HOST and PORTALPULSE_HTTP__PORT, or give the folder of the stack with --data.",
            )

    def _request(self, method: str, path: str, *, timeout: float, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            options = {"timeout": timeout, "headers": headers, "trust_env": False, "verify": self.trust or True, **request}
            return httpx.request(method, f"{self.url}{path}", **options)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise self._not_trusted(error) from error
            raise self._not_running() from error
        except (
            httpx.TimeoutException,
            httpx.RemoteProtocolError,
            httpx.ReadError,
            httpx.WriteError,
            httpx.DecodingError,
        ) as error:
            if self._gone:
                raise self._not_running() from error
            what = (
                f"did not answer within {timeout:g} s"
                if isinstance(error, httpx.TimeoutException)
                else "sent an answer that its Content-Encoding does not fit"
                if isinstance(error, httpx.DecodingError)
                else "closed the connection during its answer"
            )
            raise HungError(f"{self._name} {what}.", remedy=self._remedy) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NotRunningError(f"{self.url} is not a usable address: {error}.", remedy="Correct the address.") from error

    def _not_trusted(self, error: Exception) -> UnavailableError:
        reason = str(error).rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return UnavailableError(
            f"The certificate of {self.url} is not accepted: {reason}.",
            remedy="Name its authorities with PORTALPULSE_HTTP__CA_FILE, and the process by a name of its certificate with "
            "PORTALPULSE_HTTP__URL.",
        )

    def _not_running(self) -> NotRunningError:
        if self.folder is None:
            return NotRunningError(
                f"Nothing listens at {self.url}.",
                remedy="Start the stack with `portalpulse up`, or give its folder (--data) or its port (PORTALPULSE_HTTP__PORT).",
            )
        if self._gone:
            return NotRunningError(
                f"No stack runs on {self.folder}; the last one was killed.",
                remedy=f"Start it with `{command('up', '--data', self.folder)}`.",
            )
        return NotRunningError(f"{self._name} does not listen.", remedy=self._remedy)

    @property
    def _gone(self) -> bool:
        """Whether the stack that wrote addresses.json has ended."""
        return self.folder is not None and owner_of(self.folder) is None

    @property
    def _name(self) -> str:
        if self.folder is None:
            return f"The process at {self.url}"
        return f"The stack on {self.folder}{_process(owner_of(self.folder))} runs, but its process at {self.url}"

    @property
    def _remedy(self) -> str:
        if self.folder is None:
            return "It is busy or hangs. Check its log, and restart it when it hangs."
        return (
            f"`portalpulse up` restarts processes that end or hang: wait a minute. If it persists, check {self.folder / 'logs'}, "
            "stop that stack with Ctrl-C and start it again."
        )


def is_embedded(settings: Settings) -> bool:
    """Whether the storage is embedded: a folder that belongs to one process."""
    return not settings.clickhouse.addresses and settings.clickhouse.url.get_secret_value().startswith("chdb:")


def running(settings: Settings, data: Path | None) -> Process:
    """The process that runs on ``data``, or on the folder or port of the settings; it answered a request.

    Raises:
        NotRunningError: no process runs there.
        HungError: the process does not answer.
        ConfigurationError: addresses.json cannot be read.
    """
    folder = data or settings.data_dir
    token = settings.http.sent_token
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
        process = by_settings(settings)
    process.require_alive()
    return process


def by_settings(settings: Settings) -> Process:
    """The process that the settings name, whether or not it runs.

    Raises:
        ConfigurationError: the file of authorities cannot be used.
    """
    http = settings.http
    trust = trust_of(http.ca_file, variable="PORTALPULSE_HTTP__CA_FILE")
    url = http.url or url_of(http.host, http.port, secure=bool(http.certificate_file))
    return Process(url, None, http.sent_token, trust)


def url_of(host: str, port: int, *, secure: bool = False) -> str:
    """The URL of a process that listens on ``host``; when ``host`` means all addresses, with the address of this machine."""
    reached = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - an address to connect to
    name = f"[{reached}]" if ":" in reached and not reached.startswith("[") else reached
    return f"{'https' if secure else 'http'}://{name}:{port}"


def is_absent(error: PortalPulseError, code: str) -> bool:
    """Whether an error is an answer 404 of the process with this ``code``."""
    return isinstance(error, AnswerError) and error.status == httpx.codes.NOT_FOUND and error.code == code


def _process(owner: int | None) -> str:
    return f" (process {owner})" if owner else ""
