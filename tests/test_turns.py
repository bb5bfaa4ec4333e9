from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from tests import turns as turns_module
from tests.turns import among, turn

if sys.platform == "win32":
    pytest.skip("Windows has no flock", allow_module_level=True)

DEADLINE = 30  # seconds


@pytest.fixture(autouse=True)
def _rooms_of_their_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("turns")
    for name in ("GATE", "ROOM", "BROWSER"):
        (folder / name).touch()
        monkeypatch.setattr(f"tests.turns.{name}", folder / name)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def enter(its_turn: AbstractContextManager[None], entered: threading.Event) -> None:
    with its_turn:
        entered.set()


def gate_is_open() -> bool:
    import fcntl

    with turns_module.GATE.open("rb") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_others_run_beside_each_other(threads: ThreadPoolExecutor) -> None:
    entered = threading.Event()
    with among(alone=False):
        threads.submit(enter, among(alone=False), entered)
        assert entered.wait(DEADLINE)


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_who_is_alone_has_nobody_beside_him(
    threads: ThreadPoolExecutor, first: bool, second: bool
) -> None:
    entered = threading.Event()
    with among(alone=first):
        threads.submit(enter, among(alone=second), entered)
        assert not entered.wait(0.2)
    assert entered.wait(DEADLINE)


def test_a_browser_runs_beside_others(threads: ThreadPoolExecutor) -> None:
    entered = threading.Event()
    with among(alone=False, browser=True):
        threads.submit(enter, among(alone=False), entered)
        assert entered.wait(DEADLINE)


def test_browsers_run_one_at_a_time_and_hold_up_nobody(threads: ThreadPoolExecutor) -> None:
    other, second = threading.Event(), threading.Event()
    with among(alone=False, browser=True):
        threads.submit(enter, among(alone=False, browser=True), second)
        assert not second.wait(0.2)
        threads.submit(enter, among(alone=True), other)
        assert not other.wait(0.2)
    assert other.wait(DEADLINE)
    assert second.wait(DEADLINE)


def test_nobody_overtakes_who_waits_to_be_alone(threads: ThreadPoolExecutor) -> None:
    turns: list[str] = []

    def alone() -> None:
        with among(alone=True):
            turns.append("alone")

    def other() -> None:
        with among(alone=False):
            turns.append("other")

    with among(alone=False):
        waiting = [threads.submit(alone)]
        deadline = time.monotonic() + DEADLINE
        while gate_is_open():
            assert time.monotonic() < deadline
        waiting.append(threads.submit(other))
        time.sleep(0.2)
        assert turns == []
    for one in waiting:
        one.result(DEADLINE)
    assert turns == ["alone", "other"]


@pytest.mark.parametrize("workers", [None, "1"])
def test_without_other_workers_nobody_waits(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, workers: str | None
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    if workers:
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
    entered = threading.Event()
    with turn(alone=True):
        threads.submit(enter, turn(alone=True), entered)
        assert entered.wait(DEADLINE)


def test_with_other_workers_turns_are_taken(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    entered = threading.Event()
    with turn(alone=False):
        threads.submit(enter, turn(alone=True), entered)
        assert not entered.wait(0.2)
    assert entered.wait(DEADLINE)


def test_of_two_turns_with_a_browser_one_waits(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    entered = threading.Event()
    with turn(alone=False, browser=True):
        threads.submit(enter, turn(alone=False, browser=True), entered)
        assert not entered.wait(0.2)
    assert entered.wait(DEADLINE)
