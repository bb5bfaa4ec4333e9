"""The Celery tasks. They take ids and return the outcome of the service.

A task only makes work start sooner; a sweep does the work of a lost task. If a task is sent twice,
or its account is gone or has another token, it does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import celery

from .conf import (
    SWEEP_SOFT_TIME_LIMIT,
    SWEEP_TIME_LIMIT,
    TASK_SOFT_TIME_LIMIT,
    TASK_TIME_LIMIT,
)
from .exceptions import EgnyteError, InvalidGrantError, NotLinkedError
from .models import EgnyteAccount
from .services import events, polls, revoke, sweep, validate
from .services import refresh as refreshing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Generic, ParamSpec, TypeVar

    from celery import Task
    from celery.result import AsyncResult

    _P = ParamSpec("_P")
    _R = TypeVar("_R")

    # Celery is not annotated.
    class _Task(Task, Generic[_P, _R]):  # type: ignore[misc]
        def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
        def delay(self, *args: _P.args, **kwargs: _P.kwargs) -> AsyncResult: ...

    def shared_task(**options: Any) -> Callable[[Callable[_P, _R]], _Task[_P, _R]]: ...
else:
    from celery import shared_task

COMMON: Final[dict[str, Any]] = {
    "acks_late": True,
    "ignore_result": True,
    # A site's Celery(task_cls=...) may run each task in a transaction by its __call__. These make
    # their own short ones, and no token call may happen inside another. Other hooks of that class
    # are kept.
    "__call__": celery.Task.__call__,
}
INTERACTIVE: Final[dict[str, Any]] = {
    **COMMON,
    "soft_time_limit": TASK_SOFT_TIME_LIMIT,
    "time_limit": TASK_TIME_LIMIT,
    "expires": 3600,
}
SWEEP: Final[dict[str, Any]] = {
    **COMMON,
    "soft_time_limit": SWEEP_SOFT_TIME_LIMIT,
    "time_limit": SWEEP_TIME_LIMIT,
    "expires": 3600,
}


@shared_task(name="django_egnyte.tasks.validate_account", **INTERACTIVE)
def validate_account(account_id: int, token_id: int) -> str:
    """Validate this token of the account."""
    return validate.validate(account_id, token_id, actor="task")


@shared_task(name="django_egnyte.tasks.refresh_account", **INTERACTIVE)
def refresh_account(account_id: int, token_id: int) -> str:
    """Refresh this token of the account. After a failure the database holds the next attempt."""
    account = EgnyteAccount.objects.live().filter(pk=account_id, token=token_id).first()
    if account is None:
        return "gone"
    try:
        refreshing.refresh(account, actor="task", patience=0)
    except NotLinkedError:
        return "gone"
    except InvalidGrantError:
        return "refused"
    except EgnyteError:
        return "unknown"
    return "refreshed"


@shared_task(name="django_egnyte.tasks.validate_accounts", **SWEEP)
def validate_accounts() -> int:
    """Claim the accounts due for validation and send their tasks. Returns how many."""
    handed_out = 0
    for ids in sweep.claim_due():
        validate_batch.delay(ids)
        handed_out += len(ids)
    return handed_out


@shared_task(name="django_egnyte.tasks.validate_batch", **{**SWEEP, "expires": 900})
def validate_batch(account_ids: list[int]) -> dict[str, int]:
    """Validate accounts that a sweep has claimed. The task expires with the claim."""
    return dict(sweep.validate_batch(account_ids, actor="task"))


@shared_task(name="django_egnyte.tasks.refresh_accounts", **SWEEP)
def refresh_accounts() -> dict[str, int]:
    """Refresh the grants that are due, within the budget of the API key."""
    return dict(sweep.refresh_due(actor="task"))


@shared_task(name="django_egnyte.tasks.purge", **SWEEP)
def purge() -> int:
    """Delete states, token requests and events that have expired."""
    return sweep.purge() + events.purge()


@shared_task(name="django_egnyte.tasks.release_forgotten", **SWEEP)
def release_forgotten() -> int:
    """Find grants whose accounts were deleted without Django's signals, and make them due."""
    return sweep.release_forgotten()


@shared_task(name="django_egnyte.tasks.revoke_inactive", **SWEEP)
def revoke_inactive() -> int:
    """Revoke the accounts of deactivated users, as EGNYTE_REVOKE_INACTIVE_AFTER says."""
    return sweep.revoke_inactive(actor="task")


@shared_task(name="django_egnyte.tasks.process_revocations", **SWEEP)
def process_revocations() -> dict[str, int]:
    """Revoke the grants that are due."""
    return dict(revoke.process_revocations(actor="task"))


@shared_task(name="django_egnyte.tasks.poll_events", **SWEEP)
def poll_events() -> dict[str, int]:
    """Store the new events of the followed accounts."""
    return dict(polls.poll_due(actor="task"))


@shared_task(name="django_egnyte.tasks.handle_events", **SWEEP)
def handle_events() -> dict[str, int]:
    """Send ``egnyte_event`` for the events that are due."""
    return dict(events.handle_due())
