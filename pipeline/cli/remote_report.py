"""Asks a running process for a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from domain.errors import ConfigurationError, UnavailableError
from pipeline.cli.progress import progress_bar
from pipeline.cli.remote import AnswerError, Process

#: How long one request waits for messages that are not counted yet, and how long its answer may take (seconds).
_WAIT_SECONDS, _ANSWER_SECONDS = 10.0, 120.0


def fetch_report(process: Process, parameters: Mapping[str, str], *, wait: bool = False) -> Mapping[str, Any]:
    """The report of ``process``, in the form that ``Report.as_dict`` returns.

    Args:
        process: a worker or exporter.
        parameters: the parameters of ``GET /api/v1/report``.
        wait: ask again until every message that lay in Kafka at the first question is counted, with a progress bar.

    Raises:
        ConfigurationError: the process refuses a parameter.
        UnavailableError: it does not answer, or its storage does not.
    """
    if wait:
        parameters = {**parameters, "wait": f"{_WAIT_SECONDS:g}"}
    report = _asked(process, parameters)
    if not (wait and report["completeness"]["question"]):
        return report
    with progress_bar() as bar:
        what, waiting = "", 0
        while question := report["completeness"]["question"]:
            # Not a new question: under constant traffic that would never end.
            kind, now = _waiting(report["completeness"])
            if kind != what:
                what, waiting = kind, now
                bar.begin(f"{what} not counted yet", waiting)
            bar.advance(max(0, waiting - now))
            waiting = min(waiting, now)
            report = _asked(process, {**parameters, "question": question})
        bar.advance(waiting)
    return report


def _waiting(completeness: Mapping[str, Any]) -> tuple[str, int]:
    """What the figures still wait for and how many of it: messages, and after these dossiers."""
    messages = int(completeness["messages_waiting"] or 0)
    return ("messages", messages) if messages else ("dossiers", int(completeness["dossiers_waiting"] or 0))


def ask(
    process: Process,
    path: str,
    parameters: Mapping[str, str],
    *,
    method: str = "GET",
    timeout: float = _ANSWER_SECONDS,
    **request: Any,
) -> Any:
    """The JSON of an answer; ``request`` holds what else is sent.

    Raises:
        ConfigurationError: the process refuses a parameter; its own sentence.
        UnavailableError: it does not answer, or its storage does not.
    """
    try:
        return process.request_json(method, path, timeout=timeout, params=dict(parameters), **request)
    except AnswerError as error:
        if error.status == httpx.codes.BAD_REQUEST and error.text:
            raise ConfigurationError(error.text) from error
        raise


def _asked(process: Process, parameters: Mapping[str, str]) -> Mapping[str, Any]:
    report = ask(process, "/api/v1/report", parameters)
    if not isinstance(report, dict) or not {"rows", "excluded", "completeness"} <= report.keys():
        raise UnavailableError(f"{process.url} did not answer with a report.", remedy="Check whether another program runs there.")
    return report
