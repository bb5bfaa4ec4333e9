"""What each process was told: every token call and revocation, by whom, and how it ended for them.

Only the caller knows whether an answer reached it: on a busy machine any answer may come too late.
Each call carries its name in a header, so that what Egnyte saw and what the caller saw can be laid
side by side.
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
    """Stands in ``INSTALLED_APPS`` of every process of a run."""

    name = "tests.conservation"
    label = "conservation"

    def ready(self) -> None:
        from django_egnyte import http
        from django_egnyte.oauth import OAuthClient

        http.send = named(http.send)  # type: ignore[assignment]
        for name in ("_token", "revoke"):
            setattr(OAuthClient, name, witnessed(getattr(OAuthClient, name)))


def named(send: Callable[..., Any]) -> Callable[..., Any]:
    """Send the name of the current call along."""

    @functools.wraps(send)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if call := getattr(_here, "call", None):
            kwargs["headers"] = {**(kwargs.get("headers") or {}), HEADER: call}
        return send(*args, **kwargs)

    return wrapper


def witnessed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Write down how a call ended, before its caller does anything with that."""

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
    """One line, which a process that is killed right afterwards has written all the same."""
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
    """How a call ended for its caller: ``answered``, ``cut``, or the name of an exception."""

    result: str
    last: bool
    """Whether the same thread never came to call again."""

    @property
    def arrived(self) -> bool:
        return self.result == ANSWERED


def calls(where: Path) -> dict[str, Call]:
    """All calls that ended for their callers; not those whose process was killed meanwhile."""
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
