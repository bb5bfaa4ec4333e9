"""The outcome of the last validation or refresh that an administrator requested.

A worker or a sweep does the work after the request. The account's page shows its outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from django.utils import timezone
from django.utils.translation import gettext as _

from ..choices import EventKind, Status
from ..models import AccountEvent, EgnyteAccount
from .times import exactly

SHOWN_FOR: Final = timedelta(hours=1)
ASKED: Final = (EventKind.VALIDATION_ASKED, EventKind.REFRESH_ASKED)

State = Literal["waiting", "good", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    state: State
    text: str


def outcome_of(account: EgnyteAccount) -> Outcome | None:
    """How the last request of the past hour ended. ``None`` if there was no request."""
    now = timezone.now()
    events = AccountEvent.objects.filter(
        account_ref=account.pk, created_at__gte=now - SHOWN_FOR, kind__in=ASKED
    )
    asked = events.order_by("-created_at", "-pk").first()
    if asked is None:
        return None
    if account.status == Status.REVOKED:
        return Outcome("bad", _("The account is revoked: %(reason)s") % {"reason": why(account)})
    if asked.kind == EventKind.REFRESH_ASKED:
        return _of_refresh(account, asked.created_at, now)
    return _of_validation(account, asked.created_at, now)


def why(account: EgnyteAccount) -> str:
    """The reason of the account's status, in the administrator's language."""
    return _(account.status_reason) if account.status_reason else ""


def _of_validation(account: EgnyteAccount, asked: datetime, now: datetime) -> Outcome:
    validated, again = account.last_validated_at, account.next_validation_at
    if validated is not None and validated >= asked:
        text = _("Egnyte accepted the token: %(time)s")
        return Outcome("good", text % {"time": exactly(validated)})
    if again > now and account.status == Status.SUSPECT:
        text = _("%(reason)s. The next validation is due: %(time)s")
        return Outcome("bad", text % {"reason": why(account), "time": exactly(again)})
    if again > now and account.validation_attempts:
        text = _("Egnyte gave no answer. The next validation is due: %(time)s")
        return Outcome("unknown", text % {"time": exactly(again)})
    return _waiting(_("Validation requested (%(time)s)."), asked)


def _of_refresh(account: EgnyteAccount, asked: datetime, now: datetime) -> Outcome:
    token = account.known_token
    if token is None:
        return _waiting(_("Refresh requested (%(time)s)."), asked)
    refused, again = token.grant.refresh_refused_at, token.grant.next_refresh_at
    if token.created_at >= asked:
        text = _("Egnyte issued a new token: %(time)s")
        return Outcome("good", text % {"time": exactly(token.created_at)})
    if refused is not None and refused >= asked:
        text = _("Egnyte refused the refresh token: %(time)s")
        return Outcome("bad", text % {"time": exactly(refused)})
    if again is not None and again > now and token.grant.refresh_attempts:
        text = _("Egnyte issued no new token. The next refresh is due: %(time)s")
        return Outcome("unknown", text % {"time": exactly(again)})
    return _waiting(_("Refresh requested (%(time)s)."), asked)


def _waiting(text: str, asked: datetime) -> Outcome:
    more = _("A worker or the next sweep does it, and the result appears here.")
    return Outcome("waiting", f"{text % {'time': exactly(asked)}} {more}")
