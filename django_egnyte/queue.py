"""Start a task sooner. The work itself is in the database, so a lost message only costs time.

A page must never wait for a broker. A thread therefore sends the messages over its own connection,
with short timeouts and no retries, and the caller waits ``PATIENCE`` seconds: the timeouts of a
broker's library do not cover a resolver that hangs, or a server that answers byte by byte. After a
failure nothing is sent for ``PAUSE`` seconds.

This module never imports Celery first: a process that has not imported it has no Celery app.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import logging
import os
import sys
import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import transaction

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("django_egnyte.queue")

PAUSE: Final = 30.0
PATIENCE: Final = 2.0
CONNECT_TIMEOUT: Final = 1.0
IDLE: Final = 60.0
# Seconds. If a message waited longer, a sweep has done its work.
EXPIRES: Final = 3600

_paused_until = 0.0
_lock = threading.Lock()


def hurry(task: str, *args: int | str, using: str | None = None) -> None:
    """Send ``django_egnyte.tasks.<task>`` with these ids after the commit. Never raises.

    ``using`` is the alias whose transaction to wait for. ``None`` sends at once, for work that must
    be done even if the caller's transaction is rolled back.
    """
    if using is None:
        _send(task, args)
    else:
        # A closure: Django 5.2's robust handling of a partial fails on its missing __qualname__.
        def send() -> None:
            _send(task, args)

        transaction.on_commit(send, using=using, robust=True)


def resume() -> None:
    """Forget an earlier failure, so that the next message is tried at once."""
    global _paused_until
    _paused_until = 0.0


def scheduled_tasks() -> set[str] | None:
    """The tasks in the beat schedule of the site's Celery app. Asks no broker.

    ``None`` if there is no such app, or if its schedule is elsewhere than in its configuration.
    """
    app = _site_app()
    if app is None:
        return None
    settings = app.conf
    if settings.beat_scheduler != "celery.beat:PersistentScheduler":
        return None
    return {str(entry["task"]) for entry in (settings.beat_schedule or {}).values()}


def _send(task: str, args: tuple[int | str, ...]) -> None:
    global _paused_until
    if time.monotonic() < _paused_until or (app := _site_app()) is None:
        return
    name = f"django_egnyte.tasks.{task}"
    if app.conf.task_always_eager:
        _run_here(app, name, args)
        return
    try:
        _publish_in_time(app, name, args)
    except Exception as error:  # a page must not see an error of a broker's library
        with _lock:
            _paused_until = time.monotonic() + PAUSE
        logger.warning(
            "The task %s could not be sent to the message broker (%s). The next sweep does its "
            "work. No other task is sent for %d seconds. Check the broker.",
            name,
            type(error).__name__,
            PAUSE,
            extra={"event": "queue_unavailable", "task": name},
        )


def _run_here(app: Celery, name: str, args: tuple[int | str, ...]) -> None:
    """Run the task here, with ``task_always_eager``: no broker is used."""
    try:
        if name not in app.tasks:
            # A worker does this when it starts; a web process may not have imported any task.
            app.loader.import_default_modules()
        app.tasks[name].apply(args)
    except Exception:
        logger.exception(
            "The task %s failed in eager mode. The next sweep does its work.",
            name,
            extra={"event": "eager_task_failed", "task": name},
        )


def _site_app() -> Celery | None:
    """The site's Celery app, if this process has one.

    Without one, Celery creates a default app, which looks for a broker that nobody runs.
    """
    if sys.modules.get("celery") is None:
        return None
    from celery import current_app

    app = current_app._get_current_object()
    made_up = app.main == "default" and not app.set_as_current
    return app if not made_up or app.conf.broker_url else None


def _publish_in_time(app: Celery, name: str, args: tuple[Any, ...]) -> None:
    """Publish, or raise ``TimeoutError`` after ``PATIENCE`` seconds. The thread may end later."""
    global _publisher
    # With the context of the caller, which what listens to Celery's signals may look for.
    message = _Message(app, name, args, contextvars.copy_context(), Future())
    with _lock:
        if _publisher is None or not _publisher.takes(message):
            _publisher = _Publisher(message)
        publisher = _publisher
    try:
        message.sent.result(PATIENCE)
    except TimeoutError:
        with _lock:
            publisher.ended = True  # it may hang for ever, so the next message gets another
        raise


class _Message(NamedTuple):
    app: Celery
    name: str
    args: tuple[Any, ...]
    context: contextvars.Context
    sent: Future[None]


class _Publisher:
    """A thread that keeps its connection to the broker from one message to the next.

    Connecting takes more than ten times as long as sending a message. After ``IDLE`` seconds
    without a message the thread closes its connection and ends.
    """

    def __init__(self, first: _Message) -> None:
        self.ended = False
        self._line: _Line | None = None
        self._waiting: SimpleQueue[_Message | None] = SimpleQueue()
        self._waiting.put(first)
        self._thread = threading.Thread(target=self._work, name="egnyte-queue", daemon=True)
        self._thread.start()

    def takes(self, message: _Message) -> bool:
        """Whether this thread will send the message. Called under the lock."""
        if not self.ended:
            self._waiting.put(message)
        return not self.ended

    def end(self) -> None:
        """Close the connection, if that takes no more than a second."""
        self.ended = True
        self._waiting.put(None)
        self._thread.join(1.0)

    def _work(self) -> None:
        while (message := self._next()) is not None:
            try:
                message.context.run(self._send, message)
            except BaseException as error:
                self._hang_up()
                failed = (
                    error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
                )
                message.sent.set_exception(failed)
            else:
                message.sent.set_result(None)
        self._hang_up()

    def _next(self) -> _Message | None:
        try:
            return self._waiting.get(timeout=IDLE)
        except Empty:
            with _lock:
                self.ended = self._waiting.empty()
            return None if self.ended else self._waiting.get()

    def _send(self, message: _Message) -> None:
        kept = self._line
        if kept is not None and kept.leads_to(message.app):
            try:
                _publish(kept, message.name, message.args)
                return
            except Exception:
                # The broker has closed it meanwhile, most likely.
                logger.debug(
                    "The open connection to the message broker was lost; connecting again.",
                    exc_info=True,
                    extra={"event": "queue_connection_ended"},
                )
        self._hang_up()
        self._line = _Line(message.app)
        _publish(self._line, message.name, message.args)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(Exception):
                line.connection.close()


class _Line:
    """A connection to the broker of this Celery app."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.url = _url(app)
        self.connection = app.connection_for_write(
            connect_timeout=CONNECT_TIMEOUT, transport_options=_options(self.url)
        )
        # One try for each node of a cluster. A second round would begin with a sleep of 2 s.
        tries = len(self.connection.alt or ()) or 1
        try:
            self.connection.ensure_connection(max_retries=tries - 1, timeout=PATIENCE)
        except BaseException:
            self.connection.close()
            raise
        self.producer = app.amqp.Producer(self.connection, auto_declare=False)

    def leads_to(self, app: Celery) -> bool:
        return self.app is app and self.url == _url(app)


def _url(app: Celery) -> str:
    url = app.conf.broker_write_url or app.conf.broker_url or ""
    # Or a list of alternatives.
    return url if isinstance(url, str) else next(iter(url), "")


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {"max_retries": 0}
    if url.startswith(("redis", "valkey", "sentinel")):
        options |= {
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": CONNECT_TIMEOUT,
            "retry_on_timeout": False,
        }
    elif url.startswith(("amqp", "pyamqp")):
        options |= {"read_timeout": CONNECT_TIMEOUT, "write_timeout": CONNECT_TIMEOUT}
    return options


def _publish(line: _Line, name: str, args: tuple[Any, ...]) -> None:
    # The task's own expiry is known here to Celery 5.7 only.
    line.app.send_task(
        name, args=args, producer=line.producer, retry=False, ignore_result=True, expires=EXPIRES
    )


_publisher: _Publisher | None = None
_inherited: list[_Publisher] = []
"""Publishers of the parent process. To close a connection here would close the parent's, too."""


def _forget_publisher() -> None:
    """In a forked child, where the thread is gone."""
    global _publisher, _lock
    _lock = threading.Lock()
    if _publisher is not None:
        _inherited.append(_publisher)
        _publisher = None


def _end_publisher() -> None:
    if _publisher is not None and not _publisher.ended:
        _publisher.end()


atexit.register(_end_publisher)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_publisher)
