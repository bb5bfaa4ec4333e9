from __future__ import annotations

from typing import Any

import pytest
from celery import Celery, Task
from django.db import transaction

from django_egnyte import conf, tasks
from django_egnyte.choices import Status
from django_egnyte.exceptions import EgnyteError
from django_egnyte.models import EgnyteAccount, EgnyteGrant
from django_egnyte.pytest_plugin import link_account
from django_egnyte.schedules import TASK_ROUTES
from django_egnyte.services import sweep
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.transactions import in_callers_transaction

USERINFO = "^/pubapi/v1/userinfo"
TASKS = [tasks.validate_account, tasks.refresh_account, tasks.process_revocations]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_limits_and_is_acknowledged_late(task: Any) -> None:
    assert task.name == f"django_egnyte.tasks.{task.__name__}"
    assert task.acks_late
    assert task.ignore_result
    assert task.soft_time_limit < task.time_limit <= 300
    assert task.expires == 3600
    # Celery does not retry: the database has the next attempt.
    assert not getattr(task, "autoretry_for", ())


def test_a_task_with_a_token_call_has_time_for_it_and_ends_before_its_lease() -> None:
    for task in TASKS[:2]:
        assert conf.LONGEST_VALIDATION < task.soft_time_limit < task.time_limit < conf.LEASE


def test_a_sweep_has_time_for_the_last_call_that_it_may_begin() -> None:
    for task in (tasks.validate_batch, tasks.refresh_accounts):
        assert sweep.SLICE + conf.LONGEST_REFRESH < task.soft_time_limit < task.time_limit
    revoker = tasks.process_revocations
    assert revoker.soft_time_limit > conf.REVOKE_SLICE + conf.LEASE


def test_a_token_that_lives_is_alive(egnyte_account: EgnyteAccount) -> None:
    assert tasks.validate_account(egnyte_account.pk, egnyte_account.token_id) == "alive"


def test_a_suspicion_that_was_wrong_is_cleared(egnyte_account: EgnyteAccount) -> None:
    EgnyteAccount.objects.write(status=Status.SUSPECT)
    assert tasks.validate_account(egnyte_account.pk, egnyte_account.token_id) == "alive"
    assert EgnyteAccount.objects.get().status == Status.ACTIVE


def test_a_dead_token_ends_its_account(egnyte_sandbox: Any, egnyte_user: Any) -> None:
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    assert tasks.validate_account(account.pk, account.token_id) == "dead"
    assert EgnyteAccount.objects.get().status == Status.REVOKED
    # The second task does nothing.
    assert tasks.validate_account(account.pk, account.token_id) == "gone"


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"status": 200, "body": "x"}])
def test_trouble_at_egnyte_is_no_verdict(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, fault: dict[str, Any]
) -> None:
    egnyte_sandbox.faults.add(path=USERINFO, times=None, **fault)
    assert tasks.validate_account(egnyte_account.pk, egnyte_account.token_id) == "unknown"
    found = EgnyteAccount.objects.get()
    assert found.status == Status.ACTIVE
    assert found.validation_attempts == 1


def test_a_task_for_another_version_or_no_account_makes_no_call(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    before = len(egnyte_sandbox.requests_log)
    pk, version = egnyte_account.pk, egnyte_account.token_id
    for task in (tasks.validate_account, tasks.refresh_account):
        assert task(pk, version + 1) == "gone"
        assert task(pk, version - 1) == "gone"
        assert task(pk + 1, version) == "gone"
    assert len(egnyte_sandbox.requests_log) == before


def test_a_refresh_brings_a_new_token_once(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    pk, version = egnyte_account.pk, egnyte_account.token_id
    assert tasks.refresh_account(pk, version) == "refreshed"
    assert tasks.refresh_account(pk, version) == "gone"
    assert EgnyteAccount.objects.get().token_id > version
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_refresh_without_a_refresh_token_ends_quietly(
    egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    assert tasks.refresh_account(account.pk, account.token_id) == "gone"


def test_a_refresh_that_egnyte_refuses(egnyte_account: EgnyteAccount, egnyte_sandbox: Any) -> None:
    egnyte_sandbox.revoke(egnyte_account.open_token())
    outcome = tasks.refresh_account(egnyte_account.pk, egnyte_account.token_id)
    assert outcome == "refused"
    # The validation, which is due now, decides.
    account = EgnyteAccount.objects.get()
    assert tasks.validate_account(account.pk, account.token_id) == "dead"


def test_a_refresh_that_fails_keeps_the_token_and_is_tried_later(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    egnyte_sandbox.faults.add(path="^/puboauth/token", status=503, times=None)
    outcome = tasks.refresh_account(egnyte_account.pk, egnyte_account.token_id)
    assert outcome == "unknown"
    found = EgnyteAccount.objects.get()
    assert found.open_token() == egnyte_account.open_token()
    assert found.status == Status.ACTIVE
    assert EgnyteGrant.objects.get().refresh_attempts == 1


def test_what_is_to_be_revoked_is_worked_off(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    disconnect(egnyte_account.pk, actor="test")
    assert tasks.process_revocations() == {"revoked": 1}
    assert tasks.process_revocations() == {}
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_no_task_runs_inside_a_transaction(egnyte_account: EgnyteAccount) -> None:
    pk, version = egnyte_account.pk, egnyte_account.token_id
    with transaction.atomic():
        with pytest.raises(EgnyteError):
            tasks.validate_account(pk, version)
        with pytest.raises(EgnyteError):
            tasks.process_revocations()


class AtomicTask(Task):  # type: ignore[misc]
    """Sites do this, so that a failed task is rolled back."""

    ended: list[str] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            return super().__call__(*args, **kwargs)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.ended.append(self.name)


@pytest.mark.django_db(transaction=True)
def test_a_site_that_runs_each_task_in_a_transaction_sweeps_all_the_same(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    app = Celery("atomic", task_cls=AtomicTask, set_as_current=False)
    app.conf.update(task_always_eager=True, task_eager_propagates=True)

    @app.task(name="site.probe")
    def probe() -> bool:
        return in_callers_transaction()

    assert probe.apply().get() is True
    pk, token = egnyte_account.pk, egnyte_account.token_id
    EgnyteAccount.objects.update(next_validation_at=egnyte_account.created_at)
    mine = {name: app.tasks[name] for name in TASK_ROUTES}
    arguments = {"validate_account": (pk, token), "refresh_account": (pk, token)}
    arguments |= {"validate_batch": ([pk],)}
    AtomicTask.ended.clear()
    for name, task in mine.items():
        task.apply(arguments.get(name.rpartition(".")[2], ()))
    # The other hooks of the site's class are called. A sweep of validations hands out a batch.
    assert set(AtomicTask.ended) == set(mine)
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    disconnect(pk, actor="test")
    assert app.tasks["django_egnyte.tasks.process_revocations"].apply().get() == {"revoked": 1}
