"""Real workers on real brokers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, _state
from django.db import connection
from django.utils import timezone

from django_egnyte import conf, queue, schedules, tasks
from django_egnyte.choices import Status
from django_egnyte.exceptions import UnauthorizedError
from django_egnyte.models import EgnyteAccount, EgnyteGrant
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import sweep
from django_egnyte.services.disconnect import disconnect

from .conftest import SERVICES, need
from .conservation.processes import forget_queue

ROOT = Path(__file__).resolve().parent.parent
TASKS = [getattr(tasks, name.rpartition(".")[2]) for name in schedules.TASK_ROUTES]


class Site:
    """This process as a site with a Celery app, and a queue that no other test uses."""

    def __init__(self, broker: str, base_url: str) -> None:
        self.broker, self.base_url = broker, base_url
        self.queue = f"egnyte-test-{uuid.uuid4().hex[:12]}"
        self.app = Celery("site", broker=broker, set_as_current=False)
        self.app.conf.task_default_queue = self.queue

    @contextmanager
    def worker(self) -> Iterator[None]:
        command = [sys.executable, "-m", "celery", "-A", "tests.celeryapp", "worker"]
        command += ["-c", "1", "-l", "WARNING", "--without-mingle", "--without-gossip"]
        process = subprocess.Popen(
            [*command, "-n", f"{self.queue}@localhost"],
            cwd=ROOT,
            env=os.environ | self._database() | self._settings(),
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _settings(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.livesite",
            "EGNYTE_TEST_BROKER_URL": self.broker,
            "EGNYTE_TEST_QUEUE": self.queue,
            "EGNYTE_TEST_BASE_URL": self.base_url,
        }

    @staticmethod
    def _database() -> dict[str, str]:
        """The worker must see the database that the tests use."""
        name = str(connection.settings_dict["NAME"])
        if connection.vendor == "sqlite":
            return {"EGNYTE_TEST_SQLITE": name}
        server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
        return {"DATABASE_URL": f"{server}/{name}"}

    def take(self) -> Any:
        """The next message, which is put back."""
        with self.app.connection_for_read() as broker:
            waiting = broker.SimpleQueue(self.app.amqp.queues[self.queue])
            message = waiting.get(timeout=5)
            message.requeue()
            waiting.close()
            return message

    def send(self, task: str) -> None:
        self.app.send_task(f"django_egnyte.tasks.{task}")

    def close(self) -> None:
        forget_queue(self.app, self.queue)
        self.app.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def site(
    request: pytest.FixtureRequest, egnyte_sandbox_server: Any, egnyte_sandbox: Any
) -> Iterator[Site]:
    need(request.param)
    made = Site(SERVICES[request.param], egnyte_sandbox_server.base_url)
    before = _state._tls.current_app
    made.app.set_current()
    queue.resume()
    yield made
    _state._set_current_app(before)
    made.close()


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "the worker did not do it in time"
        time.sleep(0.1)


def stored(account: EgnyteAccount) -> EgnyteAccount:
    return EgnyteAccount.objects.get(pk=account.pk)


@pytest.mark.django_db(transaction=True)
def test_a_worker_lets_accounts_live_and_die(
    site, egnyte_sandbox, django_user_model, django_username_field
):
    def make_user(name: str) -> Any:
        return django_user_model.objects.create(**{django_username_field: f"{name}@example.com"})

    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, make_user("one"))
    token = account.open_token()

    # After a password change at Egnyte, the page's call fails and sends a task.
    egnyte_sandbox.set_password("acme", "jsmith", "another password")
    with pytest.raises(UnauthorizedError):
        account.client.userinfo()
    assert stored(account).status == Status.SUSPECT
    message = site.take()
    arguments, keywords, _ = message.payload
    assert message.headers["task"] == "django_egnyte.tasks.validate_account"
    assert (arguments, keywords) == ([account.pk, account.token_id], {})
    assert message.headers["expires"] is not None
    raw = f"{message.body!r} {message.headers!r} {message.properties!r}"
    assert token not in raw and "jsmith" not in raw and "acme" not in raw

    egnyte_sandbox.policy.style = "modern"
    second = link_account(egnyte_sandbox, make_user("two"), username="bdoe")
    third = link_account(egnyte_sandbox, make_user("three"), domain="globex", username="mmiller")
    with site.worker():
        wait_for(lambda: stored(account).status == Status.REVOKED)
        assert stored(account).token is None
        wait_for(lambda: not EgnyteGrant.objects.exclude(release_at=None).exists())

        # A user disconnects, and the worker revokes the token at Egnyte.
        ended = second.open_token()
        assert egnyte_sandbox.is_alive(ended)
        disconnect(second.pk, actor="user:1")
        wait_for(lambda: not egnyte_sandbox.is_alive(ended))
        wait_for(lambda: not EgnyteGrant.objects.exclude(release_at=None).exists())

        # The sweeps find what is due.
        long_ago = timezone.now() - timedelta(days=2)
        EgnyteAccount.objects.update(next_validation_at=long_ago, last_validated_at=long_ago)
        site.send("validate_accounts")
        wait_for(lambda: stored(third).last_validated_at > long_ago)
        EgnyteGrant.objects.filter(tokens=third.token_id).write(next_refresh_at=long_ago)
        site.send("refresh_accounts")
        wait_for(lambda: stored(third).token_id != third.token_id)
        assert egnyte_sandbox.is_alive(stored(third).open_token())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name.rpartition(".")[2])
def test_a_task_may_be_killed_and_must_not_outlive_its_use(task):
    # Acknowledged after the work, so the task of a killed worker is delivered again.
    assert task.acks_late and task.ignore_result
    assert task.expires and task.expires <= 3600
    assert 0 < task.soft_time_limit < task.time_limit <= 300


@pytest.mark.parametrize("task", [tasks.validate_account, tasks.refresh_account])
def test_a_task_that_may_refresh_ends_before_its_lease(task):
    assert conf.TOKEN_DEADLINE < task.soft_time_limit < task.time_limit < conf.LEASE


def test_a_sweeps_slice_ends_before_its_worker_is_stopped():
    for task in (tasks.validate_accounts, tasks.validate_batch, tasks.refresh_accounts):
        assert task.soft_time_limit > sweep.SLICE
    # A batch that starts after its claim has expired would be done twice.
    assert tasks.validate_batch.expires <= sweep.CLAIM.total_seconds()
