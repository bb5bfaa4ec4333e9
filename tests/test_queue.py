from __future__ import annotations

import base64
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery import _state as celery_state
from django.db import transaction

from django_egnyte import queue
from tests.rawserver import Visitor, serving

# Seconds that a page may wait for a broker, whatever the broker does.
AT_MOST = 2.5

Sites = Callable[..., Celery]


@pytest.fixture
def site() -> Iterator[Sites]:
    """Makes the Celery app of a site with this broker, and a queue of the test's own."""
    before = celery_state._tls.current_app
    queue.resume()

    def make(broker: str | list[str], **conf: Any) -> Celery:
        app = Celery("site", broker=broker, set_as_current=True)
        name = f"egnyte-test-{uuid.uuid4().hex}"
        app.conf.update(
            task_default_queue=name, task_default_exchange=name, task_default_routing_key=name
        )
        app.conf.update(conf)
        return app

    yield make
    celery_state._set_current_app(before)
    queue.resume()


def timed(*args: Any, **kwargs: Any) -> float:
    began = time.monotonic()
    queue.hurry(*args, **kwargs)
    return time.monotonic() - began


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def silence(visitor: Visitor) -> None:
    """Accepts and reads, and never answers."""
    while visitor.sock.recv(65536):
        pass


def trickle(visitor: Visitor) -> None:
    """A byte at a time, each well within any timeout for silence."""
    visitor.trickle(b"*1\r\n" + b"x" * 1000, 0.2)


def waiting(app: Celery) -> list[dict[str, Any]]:
    """The messages in the app's queue, taken out."""
    found = []
    with app.connection_for_read() as connection:
        line = connection.SimpleQueue(app.conf.task_default_queue)
        while True:
            try:
                message = line.get(block=False)
            except line.Empty:
                break
            found.append({"headers": message.headers, "body": message.payload})
            message.ack()
        line.close()
    return found


@pytest.mark.parametrize("scheme", ["amqp://guest:guest@", "redis://", "sentinel://"])
@pytest.mark.parametrize("script", [silence, trickle])
def test_a_hung_broker_holds_no_page_up(site: Sites, scheme: str, script: Any) -> None:
    with serving(script) as server:
        options = {"master_name": "master"} if scheme.startswith("sentinel") else {}
        site(f"{scheme}127.0.0.1:{server.port}/", broker_transport_options=options)
        assert timed("process_revocations") < AT_MOST
        assert server.connections >= 1
        # From now on the app sends nothing and does not wait.
        tried = server.connections
        assert timed("process_revocations") < 0.1
        assert server.connections == tried


@pytest.mark.parametrize("scheme", ["amqp://guest:guest@", "redis://"])
def test_a_broker_that_refuses_holds_no_page_up(
    site: Sites, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    site(f"{scheme}127.0.0.1:{refused_port()}/")
    assert timed("validate_account", 1, 2) < AT_MOST
    assert timed("validate_account", 1, 2) < 0.1
    (record,) = [each for each in caplog.records if each.name == "django_egnyte.queue"]
    assert record.levelno == logging.WARNING
    assert "django_egnyte.tasks.validate_account" in record.getMessage()


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_whose_backlog_is_full_holds_no_page_up(site: Sites, scheme: str) -> None:
    held: list[socket.socket] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            held.append(client)
        site(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/")
        assert timed("process_revocations") < AT_MOST
    for client in held:
        client.close()


def test_a_name_that_hangs_in_the_resolver_holds_no_page_up(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def hanging(*args: Any, **kwargs: Any) -> Any:
        ended.wait(10)
        raise socket.gaierror

    site("redis://broker.invalid:6379/")
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    try:
        assert timed("process_revocations") < AT_MOST
        assert timed("process_revocations") < 0.1
    finally:
        ended.set()


@pytest.mark.parametrize(
    "broker", ["nosuch://x", "redis://127.0.0.1:notaport/", "://", "redis://["]
)
def test_a_broker_url_that_is_none_raises_nothing(site: Sites, broker: str) -> None:
    site(broker)
    assert timed("process_revocations") < AT_MOST


def test_after_a_pause_the_broker_is_tried_again(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(f"redis://127.0.0.1:{refused_port()}/")
    queue.hurry("process_revocations")
    app = site("memory://")
    now = time.monotonic()
    monkeypatch.setattr(queue.time, "monotonic", lambda: now + queue.PAUSE - 1)
    queue.hurry("process_revocations")
    assert waiting(app) == []
    monkeypatch.setattr(queue.time, "monotonic", lambda: now + queue.PAUSE + 1)
    queue.hurry("process_revocations")
    assert len(waiting(app)) == 1


def test_the_next_node_of_a_cluster_is_tried(site: Sites, amqp_url: str) -> None:
    app = site(f"amqp://guest:guest@127.0.0.1:{refused_port()}//;{amqp_url}")
    assert timed("process_revocations") < AT_MOST
    app.conf.broker_url = amqp_url
    assert len(waiting(app)) == 1
    delete(app)


def test_a_message_arrives_at_rabbitmq_with_ids_only(site: Sites, amqp_url: str) -> None:
    app = site(amqp_url)
    assert timed("validate_account", 12, 3) < AT_MOST
    (message,) = waiting(app)
    assert message["headers"]["task"] == "django_egnyte.tasks.validate_account"
    assert message["headers"]["expires"]
    args, kwargs, _ = message["body"]
    assert (args, kwargs) == ([12, 3], {})
    delete(app)


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_messages_share_a_connection(
    site: Sites, scheme: str, request: pytest.FixtureRequest
) -> None:
    app = site(request.getfixturevalue(f"{scheme}_url"))
    lines = []
    for number in range(3):
        queue.hurry("validate_account", number, 1)
        assert queue._publisher is not None
        lines.append(queue._publisher._line)
    assert lines[0] is not None
    assert lines[1:] == lines[:1] * 2
    # A server that was restarted, or a proxy that closed the connection.
    if scheme == "amqp":
        lines[0].connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)
    else:
        lines[0].connection.default_channel.client.connection_pool.disconnect()
    queue.hurry("validate_account", 3, 1)
    arrived = [message["body"][0] for message in waiting(app)]
    delete(app)
    assert arrived == [[number, 1] for number in range(4)]


def test_an_idle_connection_is_closed(site: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "IDLE", 0.05)
    app = site("memory://")
    for sent in range(1, 3):
        queue.hurry("process_revocations")
        publisher = queue._publisher
        assert publisher is not None
        publisher._thread.join(5)
        assert (publisher.ended, publisher._line) == (True, None)
        assert len(waiting(app)) == 1, sent


def test_a_message_that_comes_as_the_thread_ends_is_sent(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "IDLE", 0.001)
    app = site("memory://")
    for number in range(100):
        queue.hurry("validate_account", number, 1)
        time.sleep(0.001)
    assert len(waiting(app)) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_sends_on_a_connection_of_its_own(site: Sites, amqp_url: str) -> None:
    app = site(amqp_url)
    queue.hurry("validate_account", 1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads
        child = os.fork()
    if child == 0:
        try:
            queue.hurry("validate_account", 2, 1)
            queue._end_publisher()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    publisher = queue._publisher
    queue.hurry("validate_account", 3, 1)
    assert queue._publisher is publisher
    assert publisher is not None
    assert not publisher.ended
    arrived = [message["body"][0] for message in waiting(app)]
    delete(app)
    assert arrived == [[1, 1], [2, 1], [3, 1]]


def delete(app: Celery) -> None:
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.queue_delete(app.conf.task_default_queue)
        channel.exchange_delete(app.conf.task_default_exchange)


def test_a_message_arrives_at_redis_with_ids_only(site: Sites, redis_url: str) -> None:
    import redis

    prefix = f"egnyte-test-{uuid.uuid4().hex}:"
    app = site(redis_url, broker_transport_options={"global_keyprefix": prefix})
    assert timed("refresh_account", 12, 3) < AT_MOST
    with redis.Redis.from_url(redis_url) as server:
        (raw,) = server.lrange(prefix + app.conf.task_default_queue, 0, -1)
        for key in server.scan_iter(f"{prefix}*"):
            server.delete(key)
    message = json.loads(raw)
    assert message["headers"]["task"] == "django_egnyte.tasks.refresh_account"
    assert message["headers"]["expires"]
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert (args, kwargs) == ([12, 3], {})


def test_a_message_is_sent_from_any_thread(site: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A threaded server's requests: Celery's current app is one for each thread."""
    app = site("memory://")
    monkeypatch.setattr(celery_state, "default_app", app)
    thread = threading.Thread(target=queue.hurry, args=("process_revocations",))
    thread.start()
    thread.join()
    assert len(waiting(app)) == 1


@pytest.mark.django_db(transaction=True)
def test_with_using_the_message_waits_for_the_commit(site: Sites) -> None:
    app = site("memory://")
    with transaction.atomic():
        queue.hurry("process_revocations", using="default")
        assert waiting(app) == []
    assert len(waiting(app)) == 1


@pytest.mark.django_db(transaction=True)
def test_with_using_nothing_is_sent_after_a_rollback(site: Sites) -> None:
    app = site("memory://")
    with transaction.atomic():
        queue.hurry("process_revocations", using="default")
        transaction.set_rollback(True)
    assert waiting(app) == []


@pytest.mark.django_db(transaction=True)
def test_without_using_the_message_survives_a_rollback(site: Sites) -> None:
    app = site("memory://")
    with transaction.atomic():
        queue.hurry("validate_account", 1, 1)
        transaction.set_rollback(True)
    assert len(waiting(app)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_dead_broker_breaks_no_commit(site: Sites) -> None:
    site(f"redis://127.0.0.1:{refused_port()}/")
    ran: list[int] = []
    with transaction.atomic():
        queue.hurry("process_revocations", using="default")
        transaction.on_commit(lambda: ran.append(1))
    assert ran == [1]


def test_in_eager_mode_the_task_runs_at_once(site: Sites) -> None:
    app = site("nosuch://x", task_always_eager=True)
    ran: list[tuple[Any, ...]] = []

    @app.task(name="django_egnyte.tasks.probe")
    def probe(*args: int) -> None:
        ran.append(args)

    queue.hurry("probe", 1, 2)
    assert ran == [(1, 2)]


def test_in_eager_mode_a_task_that_raises_breaks_no_page_and_blames_no_broker(
    site: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    app = site("nosuch://x", task_always_eager=True, task_eager_propagates=True)

    ran = []

    @app.task(name="django_egnyte.tasks.raising")
    def raising() -> None:
        ran.append(1)
        raise ZeroDivisionError

    for _ in range(2):
        queue.hurry("raising")
    assert ran == [1, 1]
    told = [each for each in caplog.records if each.name == "django_egnyte.queue"]
    assert [each.event for each in told] == ["eager_task_failed"] * 2  # type: ignore[attr-defined]
    assert all(each.exc_info for each in told)


EAGER = """
import sys
from collections import Counter
import django
django.setup()
from django.conf import settings
settings.CELERY_TASK_ALWAYS_EAGER = True
from tests.celeryapp import app
from django_egnyte import queue
from django_egnyte.services import revoke
ran = []
revoke.process_revocations = lambda **options: ran.append(options) or Counter()
assert "django_egnyte.tasks" not in sys.modules, "a web process imports no tasks"
queue.hurry("process_revocations")
print(ran)
"""


def test_in_eager_mode_a_web_process_that_imported_no_task_finds_them() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", EAGER], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout == "[{'actor': 'task'}]\n", done.stderr


SCRIPT = """
import os, sys, time, threading
import django
django.setup()
import celery.app.base
sent = []
celery.app.base.Celery.send_task = lambda self, name, *a, **k: sent.append(name)
celery.app.base.Celery.connection_for_write = lambda self, *a, **k: sys.exit("looked for a broker")
from django_egnyte import queue
began = time.monotonic()
queue.hurry("process_revocations")
thread = threading.Thread(target=queue.hurry, args=("process_revocations",))
thread.start(); thread.join()
assert time.monotonic() - began < 0.5
assert queue._paused_until == 0, "a broker was looked for"
print("quiet", sent)
"""


def test_without_a_celery_app_no_broker_is_looked_for() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CELERY")
    } | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout == "quiet []\n", done.stderr
