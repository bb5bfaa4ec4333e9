"""Start a task sooner. The work itself is in the database, so a lost message only costs time.

A page must never wait for a broker. A message therefore has its own connection with short timeouts
and no retries, in a thread for which the caller waits ``PATIENCE`` seconds: the timeouts of a
broker's library do not cover a resolver that hangs, or a server that answers byte by byte. After a
failure nothing is sent for ``PAUSE`` seconds.

This module never imports Celery first: a process that has not imported it has no Celery app.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("django_egnyte.queue")

PAUSE: Final = 30.0
PATIENCE: Final = 2.0
CONNECT_TIMEOUT: Final = 1.0
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
            "The message broker did not take %s (%s); the next sweep does its work. "
            "No other message is tried for %d seconds.",
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
            "%s failed in eager mode; the next sweep does its work.",
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
    errors: list[Exception] = []

    def publish() -> None:
        try:
            _publish(app, name, args)
        except Exception as error:
            errors.append(error)

    # Keep the caller's context: receivers of Celery's signals may need it.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(publish,), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise TimeoutError
    if errors:
        raise errors[0]


def _publish(app: Celery, name: str, args: tuple[Any, ...]) -> None:
    url = app.conf.broker_write_url or app.conf.broker_url or ""
    if not isinstance(url, str):  # a list of alternatives
        url = next(iter(url), "")
    options: dict[str, Any] = {"max_retries": 0}
    if url.startswith(("redis", "valkey", "sentinel")):
        options |= {
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": CONNECT_TIMEOUT,
            "retry_on_timeout": False,
        }
    elif url.startswith(("amqp", "pyamqp")):
        options |= {"read_timeout": CONNECT_TIMEOUT, "write_timeout": CONNECT_TIMEOUT}
    connection = app.connection_for_write(
        connect_timeout=CONNECT_TIMEOUT, transport_options=options
    )
    with connection:
        # One try for each node of a cluster. A second round would begin with a sleep of 2 s.
        tries = len(connection.alt or ()) or 1
        connection.ensure_connection(max_retries=tries - 1, timeout=PATIENCE)
        producer = app.amqp.Producer(connection, auto_declare=False)
        # The task's own expiry is known here to Celery 5.7 only.
        app.send_task(
            name, args=args, producer=producer, retry=False, ignore_result=True, expires=EXPIRES
        )
