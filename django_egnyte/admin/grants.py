"""The admin of the grants: those in use, and those that are still to be revoked at Egnyte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import EgnyteGrant
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
    applies=lambda row: row.release_at is not None and bool(row.revoke_attempts),
)
ABANDON = Act(
    name="abandon",
    label=_("Abandon"),
    done=_("Abandoned"),
    service=lambda row, actor: abandon(row, actor=actor),
    applies=lambda row: row.release_at is not None,
    question=_(
        "Nobody will try to revoke this any more, and it may live on at Egnyte. Do this only if "
        "you know that it was ended there, or that the domain is gone. Abandon?"
    ),
)


class StateFilter(SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [
            ("waiting", _("To be revoked")),
            ("failed", _("To be revoked, failed before")),
            ("used", _("In use")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        released = queryset.exclude(release_at=None)
        states = {
            "waiting": released,
            "failed": released.filter(revoke_attempts__gt=0),
            "used": queryset.filter(release_at=None),
        }
        return states.get(self.value() or "", queryset)


@admin.register(EgnyteGrant)
class EgnyteGrantAdmin(ActingAdmin):
    """For reading; a stuck row can be tried again, or abandoned on record."""

    acts: Sequence[Act] = (RETRY, ABANDON)
    actions = list_actions(acts)
    list_display: Options = (
        "name", "domain", "user_ref", "reason", "created_at", "revoke_attempts", "release_at",
        "last_error",
    )  # fmt: skip
    list_filter: ClassVar[Options] = (StateFilter,)
    search_fields: ClassVar[Options] = ("domain", "username", "user_ref__exact")
    sortable_by: ClassVar[Options | None] = ()
    fields: ClassVar[Options | None] = (
        "name", "domain", "username", "user_ref", "account_ref", "flow", "reason", "created_at",
        "next_refresh_at", "refresh_refused_at", "release_at", "revoke_attempts", "last_error",
    )  # fmt: skip

    @admin.display(description=_("fingerprint"))
    def name(self, row: EgnyteGrant) -> str:
        return row.fingerprint[:8]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may("retry", request, obj)

    def has_abandon_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may("abandon", request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
