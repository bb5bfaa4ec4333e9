"""The processes of a run: workers, clients and a broker. They are killed at random."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from celery import Celery

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def forget_queue(app: Celery, name: str) -> None:
    """Delete a queue at a broker that other programs also use."""
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        if connection.transport.driver_type != "redis":
            channel.queue_delete(name)
            return
        channel.queue_purge(name)
        for kind in ("binding", "binding_permanent"):  # kombu's own key, which it never deletes
            channel.client.delete(f"_kombu.{kind}.{name}")


class Process:
    """A process in its own session, which can be killed and started again."""

    def __init__(self, name: str, command: list[str], where: Path) -> None:
        self.name, self.command, self.where = name, command, where
        self.log = where / f"{name}.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def revive(self) -> bool:
        """Start it again if it has exited, as a supervisor does."""
        if self._process.poll() is None:
            return False
        self.start()
        return True

    def signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()

    def kill_child(self) -> bool:
        """Kill one process of a worker's pool. Its parent starts another one."""
        task = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        try:
            children = task.read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)
        except (OSError, IndexError):
            return False
        return True

    def end(self, seconds: float) -> None:
        """Terminate it, and kill it if it does not exit."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()


def worker(name: str, where: Path) -> Process:
    options = ["-n", f"{name}@localhost", "-c", "2", "-l", "INFO", "--without-mingle"]
    options += ["--without-gossip"]
    command = [sys.executable, "-m", "celery", "-A", "tests.celeryapp", "worker", *options]
    return Process(name, command, where)


def client(name: str, seed: int, threads: int, where: Path) -> Process:
    arguments = [str(seed), str(threads), str(where / f"{name}.jsonl")]
    return Process(name, [sys.executable, "-m", "tests.conservation.clients", *arguments], where)


def broker(port: int, where: Path) -> Process:
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Process("redis", ["redis-server", *options, "--dir", str(where)], where)


class Killer:
    """Kills, stops and restarts processes at random, until stopped."""

    def __init__(
        self,
        rng: random.Random,
        stop: threading.Event,
        *,
        workers: list[Process],
        clients: list[Process],
        broker: Process | None,
    ) -> None:
        self.rng, self.stop = rng, stop
        self.workers, self.clients, self.broker = workers, clients, broker
        self.counts: Counter[str] = Counter()
        self.kills: list[float] = []

    def run(self) -> None:
        self.stop.wait(4)
        while not self.stop.wait(self.rng.uniform(0.5, 3)):
            acts = [self.kill_worker, self.kill_worker, self.kill_child, self.kill_child]
            acts += [self.kill_client]
            if self.broker is not None:
                acts += [self.freeze_broker, self.restart_broker]
            act = self.rng.choice(acts)
            act()
            for process in (*self.workers, *self.clients):
                if process.revive():
                    self.kills.append(time.time())
                    self.counts["died by itself"] += 1
            self.counts[act.__name__.replace("_", " ")] += 1

    def kill_worker(self) -> None:
        self._kill(self.rng.choice(self.workers))

    def kill_client(self) -> None:
        self._kill(self.rng.choice(self.clients))

    def kill_child(self) -> None:
        if self.rng.choice(self.workers).kill_child():
            self.kills.append(time.time())

    def _kill(self, process: Process) -> None:
        process.kill()
        self.kills.append(time.time())
        process.start()

    def freeze_broker(self) -> None:
        assert self.broker is not None
        self.broker.signal(signal.SIGSTOP)
        self.stop.wait(self.rng.uniform(1, 4))
        self.broker.signal(signal.SIGCONT)

    def restart_broker(self) -> None:
        assert self.broker is not None
        self.broker.kill()
        self.stop.wait(self.rng.uniform(0.5, 3))
        self.broker.start()
