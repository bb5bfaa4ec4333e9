"""A log of each process: its token calls and revocations, and their outcomes.

Only the caller knows whether it received an answer, which may be late on a busy machine. A header
has the name of the call, so that the logs of the caller and of the sandbox can be compared.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import AppConfig

HEADER = "X-Call"
ANSWERED = "answered"
CUT = "cut"
_here = threading.local()


class WitnessConfig(AppConfig):
    """The app in ``INSTALLED_APPS`` of every process of a run."""

    name = "tests.conservation"
    label = "conservation"

    def ready(self) -> None:
        from django_egnyte import http
        from django_egnyte.oauth import OAuthClient

        http.send = named(http.send)  # type: ignore[assignment]
        for name in ("_token", "revoke"):
            setattr(OAuthClient, name, witnessed(getattr(OAuthClient, name)))


def named(send: Callable[..., Any]) -> Callable[..., Any]:
    """Send the name of the current call in a header."""

    @functools.wraps(send)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if call := getattr(_here, "call", None):
            kwargs["headers"] = {**(kwargs.get("headers") or {}), HEADER: call}
        return send(*args, **kwargs)

    return wrapper


def witnessed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Log the outcome of a call before its caller uses it."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = _here.call = uuid.uuid4().hex
        result = "raised"
        try:
            answer = method(*args, **kwargs)
            result = CUT if getattr(answer, "complete", True) is False else ANSWERED
        except Exception as error:
            result = type(error).__name__
            raise
        finally:
            _here.call = None
            write(call, result)
        return answer

    return wrapper


def write(call: str, result: str) -> None:
    """Write one line at once, so that it is complete even if the process is killed next."""
    thread = f"{os.getpid()}-{threading.get_native_id()}"
    line = {"call": call, "result": result, "thread": thread, "at": time.time()}
    path = Path(os.environ["CONSERVATION_CALLS"]) / f"calls-{os.getpid()}.jsonl"
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(log, json.dumps(line).encode() + b"\n")
    finally:
        os.close(log)


@dataclass(frozen=True, slots=True)
class Call:
    """The outcome of a call: ``answered``, ``cut``, or the name of an exception."""

    result: str
    last: bool
    """Whether the same thread made no further call."""

    @property
    def arrived(self) -> bool:
        return self.result == ANSWERED


def calls(where: Path) -> dict[str, Call]:
    """All calls with an outcome, without those of killed processes."""
    lines = []
    for path in where.glob("calls-*.jsonl"):
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:  # killed while it wrote
                continue
    lines.sort(key=lambda line: line["at"])
    last = {line["thread"]: line["call"] for line in lines}
    return {
        line["call"]: Call(line["result"], last[line["thread"]] == line["call"]) for line in lines
    }
