"""Background jobs, with the app's own tasks and with the client of an account."""

from __future__ import annotations

import tempfile
from typing import assert_type

from django_egnyte.access import LinkedClient
from django_egnyte.api import Entry, File
from django_egnyte.exceptions import EgnyteError, NotLinkedError, UnauthorizedError
from django_egnyte.models import EgnyteAccount, EventCursor, ReceivedEvent
from django_egnyte.tasks import (
    handle_events,
    poll_events,
    process_revocations,
    purge,
    refresh_account,
    refresh_accounts,
    release_forgotten,
    revoke_inactive,
    validate_account,
    validate_accounts,
    validate_batch,
)


def count_files(account_id: int) -> int | None:
    """``None`` for an account that can no longer be used."""
    try:
        account = EgnyteAccount.objects.live().get(pk=account_id)
        assert_type(account, EgnyteAccount)
        return sum(1 for entry in below(account.client, "/Shared") if not entry.is_folder)
    except (EgnyteAccount.DoesNotExist, NotLinkedError, UnauthorizedError):
        return None


def below(client: LinkedClient, path: str) -> list[Entry]:
    return list(client.files.walk(path, page_size=200))


def back_up(account: EgnyteAccount, path: str) -> File | None:
    """The verified file. ``None`` if the download should be tried later."""
    files = account.client.files
    try:
        with tempfile.TemporaryFile() as target:
            file = files.download(path, target)
        assert_type(file, File)
        assert_type(files.download(path, max_bytes=1024), bytes)
        return file
    except EgnyteError as error:
        if not error.retryable:
            raise
        return None


def hurry(account: EgnyteAccount) -> None:
    """Send tasks for one account to a worker."""
    if account.token_id is None:
        return
    validate_account.delay(account.pk, account.token_id)
    refresh_account.delay(account_id=account.pk, token_id=account.token_id)


def sweep() -> dict[str, object]:
    """Run one pass in this process."""
    assert_type(validate_accounts(), int)
    assert_type(refresh_accounts(), dict[str, int])
    return {
        "validated": validate_batch(
            list(EgnyteAccount.objects.live().values_list("pk", flat=True))
        ),
        "revoked": process_revocations(),
        "left behind": release_forgotten(),
        "of deactivated users": revoke_inactive(),
        "polled": poll_events(),
        "handled": handle_events(),
        "followed": EventCursor.objects.count(),
        "events that wait": ReceivedEvent.objects.exclude(due_at=None).count(),
        "forgotten": purge(),
    }
