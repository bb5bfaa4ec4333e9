"""Pacing: calls wait for their turn, so that Egnyte need not refuse them."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable

_MOST_TOKENS = 1000


class Pace:
    """Spreads the calls of each token over time, across the threads of this process.

    The rate comes from Egnyte's answers. Before the first answer no call waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # For each token used recently: seconds between two calls, and when the next may start.
        self._tokens: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def learn(self, token: Hashable, per_second: int | None) -> None:
        """Note the calls per second that an answer allots to this token."""
        if not per_second:
            return
        with self._lock:
            _, following = self._tokens.pop(token, (0.0, 0.0))
            self._tokens[token] = (1.0 / per_second, following)
            while len(self._tokens) > _MOST_TOKENS:
                self._tokens.popitem(last=False)

    def reserve(self, token: Hashable, patience: float) -> float:
        """The seconds until this call's turn. It takes no turn that is later than `patience`."""
        with self._lock:
            interval, following = self._tokens.get(token, (0.0, 0.0))
            now = time.monotonic()
            begins = max(now, following)
            wait = begins - now
            if interval and wait <= patience:
                self._tokens[token] = (interval, begins + interval)
            return wait


pace = Pace()


def _start_anew() -> None:
    """In a forked child: another thread may have held the lock."""
    global pace
    pace = Pace()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
