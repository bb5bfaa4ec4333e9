"""The parts of a site's CPU time, sampled while it answers requests."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from collections.abc import Callable
from types import FrameType
from typing import Any

# Seconds of CPU time between two samples; the system may take fewer.
STEP = 0.001
# The innermost frame with one of these in its file's path decides.
PARTS = (
    ("django_egnyte/http/", "calls to Egnyte"),
    ("django_egnyte/queue", "message to the broker"),
    ("django_egnyte/ciphers", "encryption"),
    ("django/db/backends/", "database: driver"),
    ("django/db/", "database: Django's ORM"),
    ("django/template/", "templates"),
    ("django/core/signing", "cookies and messages"),
    ("django/contrib/messages/", "cookies and messages"),
    ("django_egnyte/", "the app's other code"),
    ("django/", "Django's other code"),
)


class Sampler:
    """A WSGI application around a site's own, which samples the stack of each request.

    ``weigh`` returns the work to which a request belongs, and how much its samples count.
    """

    def __init__(
        self, application: Callable[..., Any], weigh: Callable[[str], tuple[str, int]]
    ) -> None:
        self.application = application
        self.weigh = weigh
        self.work, self.weight = "", 0
        self.samples: dict[str, Counter[str]] = defaultdict(Counter)
        signal.signal(signal.SIGPROF, self._note)

    def __enter__(self) -> Sampler:
        signal.setitimer(signal.ITIMER_PROF, STEP, STEP)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.work, self.weight = self.weigh(environ["PATH_INFO"])
        try:
            return self.application(environ, start_response)
        finally:
            self.work, self.weight = "", 0

    def percentages(self) -> dict[str, dict[str, float]]:
        return {
            work: {part: 100 * number / counts.total() for part, number in counts.most_common()}
            for work, counts in self.samples.items()
        }

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.weight:
            self.samples[self.work][_part(frame)] += self.weight


def _part(frame: FrameType | None) -> str:
    while frame is not None:
        for place, part in PARTS:
            if place in frame.f_code.co_filename:
                return part
        frame = frame.f_back
    return "other"
