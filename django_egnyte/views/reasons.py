"""Why a user is asked to connect, and which of their accounts would do instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from ..choices import Scope, Status
from ..conf import conf
from ..models import EgnyteAccount
from ..scopes import lacking


def why(request: HttpRequest, asked: Sequence[str]) -> dict[str, Any]:
    """The context of ``egnyte/_reason.html``; one query.

    ``reason`` is ``ended`` if Egnyte has refused the default account's token, ``scopes`` if a page
    needs more than the default account was granted, and empty for a user who is new or adds an
    account. With a reason, the ``offers`` are the other live accounts with the ``asked`` scopes.
    """
    mine = list(EgnyteAccount.objects.for_user(request.user).order_by("-is_default", "pk"))
    # As access chooses the account: without a default, the oldest live one.
    default = next((each for each in mine if each.is_default or each.is_live), None)
    more = [each for each in asked if each not in conf.scopes]
    reason, new = "", lacking(default.scopes, more) if default is not None else []
    if default is not None and default.status != Status.ACTIVE:
        reason = "ended"
    elif new:
        reason = "scopes"
    ended = default if reason == "ended" else None
    others = [each for each in mine if each.is_live and each != ended]
    enough = [each for each in others if not lacking(each.scopes, more)]
    return {
        "reason": reason,
        "ended": ended,
        "new_scope_labels": [Scope.label_of(each) for each in new],
        "offers": enough if reason else [],
    }
