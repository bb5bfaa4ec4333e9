"""The admin of the grants: those in use, and those that are still to be revoked at Egnyte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import EgnyteGrant
from ..services import administer
from ..services.revoke import abandon
from .acts import Act, ActingAdmin, list_actions
from .filters import OccurringFilter
from .people import NamingList, account_page, of_domain, user_name, user_page
from .times import distance

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
        "This site will not try to revoke this again, and the tokens may stay valid at Egnyte. Do "
        "this only if you know that they were revoked there, or that the domain no longer exists. "
        "Abandon?"
    ),
)


class StateFilter(OccurringFilter):
    title = _("state")
    parameter_name = "state"
    kinds: ClassVar[Mapping[str, Any]] = {
        "waiting": _("To be revoked"),
        "due": _("To be revoked, due now"),
        "failed": _("To be revoked, failed before"),
        "used": _("In use"),
    }

    def of_kind(self, rows: QuerySet[Any], kind: str) -> QuerySet[Any]:
        if kind == "used":
            return rows.filter(release_at=None)
        released = rows.exclude(release_at=None)
        if kind == "due":
            return released.filter(release_at__lte=timezone.now())
        return released.filter(revoke_attempts__gt=0) if kind == "failed" else released


@admin.register(EgnyteGrant)
class EgnyteGrantAdmin(ActingAdmin):
    """Read-only. The revocation of a stuck grant can be retried, or abandoned."""

    acts: Sequence[Act] = (RETRY, ABANDON)
    actions = list_actions(acts)
    list_display: Options = (
        "name", "identity", "user", "reason", "due", "revoke_attempts", "last_error",
    )  # fmt: skip
    list_filter: ClassVar[Options] = (StateFilter,)
    search_fields: ClassVar[Options] = ("domain", "username", "user_ref__exact")
    sortable_by: ClassVar[Options | None] = ()
    fields: ClassVar[Options | None] = (
        "name", "domain", "username", "user_page", "account_page", "flow", "reason", "created_at",
        "next_refresh_at", "refresh_refused_at", "release_at", "revoke_attempts", "last_error",
    )  # fmt: skip

    @admin.display(description=_("fingerprint"))
    def name(self, row: EgnyteGrant) -> str:
        return row.fingerprint[:8]

    @admin.display(description=_("Egnyte user"))
    def identity(self, row: EgnyteGrant) -> SafeString:
        return of_domain(row.username, row.domain)

    @admin.display(description=_("user"))
    def user(self, row: EgnyteGrant) -> str:
        return user_name(row)

    @admin.display(description=_("user"))
    def user_page(self, row: EgnyteGrant) -> str | None:
        return user_page(self.admin_site, row)

    @admin.display(description=_("account"))
    def account_page(self, row: EgnyteGrant) -> str | None:
        return account_page(self.admin_site, row)

    @admin.display(description=_("to be revoked"))
    def due(self, row: EgnyteGrant) -> str | None:
        return distance(row.release_at) if row.release_at is not None else None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NamingList]:
        return NamingList

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
