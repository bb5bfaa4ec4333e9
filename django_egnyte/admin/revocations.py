"""The admin of the outbox: tokens that are still to be revoked at Egnyte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import PendingRevocation
from ..services import administer
from ..services.revoke import abandon
from .acts import Act, ActingAdmin, list_actions

if TYPE_CHECKING:
    from .acts import Options


RETRY = Act(
    name="retry",
    label=_("Try again now"),
    done=_("Retry requested"),
    service=lambda row, actor: administer.request_revocation(row, actor=actor),
    applies=lambda row: bool(row.attempts),
)
ABANDON = Act(
    name="abandon",
    label=_("Abandon"),
    done=_("Abandoned"),
    service=lambda row, actor: abandon(row, actor=actor),
    applies=lambda row: True,
    question=_(
        "Nobody will try to revoke this any more, and it may live on at Egnyte. Do this only if "
        "you know that it was ended there, or that the domain is gone. Abandon?"
    ),
)


class StuckFilter(SimpleListFilter):
    title = _("state")
    parameter_name = "stuck"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("yes", _("Failed before")), ("no", _("Not tried yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(attempts__gt=0)
        return queryset.filter(attempts=0) if self.value() == "no" else queryset


@admin.register(PendingRevocation)
class PendingRevocationAdmin(ActingAdmin):
    """For reading; a stuck row can be tried again, or abandoned on record."""

    acts: Sequence[Act] = (RETRY, ABANDON)
    actions = list_actions(acts)
    list_display: Options = (
        "name", "domain", "username", "reason", "created_at", "attempts", "not_before",
        "last_error",
    )  # fmt: skip
    list_filter: ClassVar[Options] = (StuckFilter,)
    search_fields: ClassVar[Options] = ("domain", "username")
    sortable_by: ClassVar[Options | None] = ()
    fields: ClassVar[Options | None] = (
        "name", "domain", "username", "user_ref", "account_ref", "reason", "created_at",
        "expires_at", "not_before", "attempts", "last_error",
    )  # fmt: skip

    @admin.display(description=_("fingerprint"))
    def name(self, row: PendingRevocation) -> str:
        return row.fingerprint[:8]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
