"""The admin of the linked accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from ..models import AccountEvent, EgnyteAccount, EgnyteGrant
from ..services import administer
from ..services.disconnect import disconnect, make_default, revoke
from ..services.refresh import can_refresh
from . import health, search
from .acts import Act, ActingAdmin, actor_of, list_actions
from .filters import DomainFilter, ExpiringFilter, ScopeFilter, StaleFilter, StatusFilter
from .links import list_address, may_view, rows_of
from .outcome import outcome_of, why
from .people import actor_name, named, of_domain, reason_of
from .times import distance, exactly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .acts import Options

RECENT = 20


def _live(account: EgnyteAccount) -> bool:
    return account.is_live


VALIDATE = Act(
    name="validate",
    label=_("Validate now"),
    done=_("Validation requested"),
    service=lambda account, actor: administer.request_validation(account, actor=actor),
    applies=_live,
)
REFRESH = Act(
    name="refresh",
    label=_("Refresh token"),
    done=_("Refresh requested"),
    service=lambda account, actor: administer.request_refresh(account, actor=actor),
    applies=lambda account: (
        account.is_live and account.token is not None and can_refresh(account.token)
    ),
)
ASK_RECONNECT = Act(
    name="ask_reconnect",
    label=_("Ask to reconnect"),
    done=_("Asked to reconnect"),
    service=lambda account, actor: administer.ask_to_reconnect(account, actor=actor),
    applies=lambda account: True,
)
REVOKE = Act(
    name="revoke",
    label=_("Revoke"),
    done=_("Revoked"),
    service=lambda account, actor: revoke(
        account, actor=actor, reason=gettext_noop("Revoked by an administrator")
    ),
    applies=_live,
    question=_(
        "The site stops using the account at once, and its tokens are revoked at Egnyte. The "
        "account stays listed, and its user can reconnect it. Revoke?"
    ),
)


@admin.register(EgnyteAccount)
class EgnyteAccountAdmin(ActingAdmin):
    """Read-only, except which account is the user's default. Deleting also revokes the token."""

    acts: Sequence[Act] = (VALIDATE, REFRESH, ASK_RECONNECT, REVOKE)
    actions = list_actions(acts)
    change_list_template = "admin/django_egnyte/egnyteaccount/change_list.html"
    change_form_template = "admin/django_egnyte/egnyteaccount/change_form.html"
    list_display: Options = (
        "identity", "user", "state", "granted", "validated", "expires", "connected",
    )  # fmt: skip
    list_display_links: Options | None = ("identity",)
    list_filter: ClassVar[Options] = (
        StatusFilter,
        StaleFilter,
        ExpiringFilter,
        DomainFilter,
        ScopeFilter,
    )
    list_select_related: ClassVar[Options | bool] = ("user", "token__grant")
    sortable_by: ClassVar[Options | None] = ()
    search_help_text = _("User or Egnyte username, e-mail address, or domain")
    fieldsets: ClassVar[Options | None] = (
        (None, {"fields": ("user", "domain", "username", "person", "email", "egnyte_user_id")}),
        (
            _("Connection"),
            {
                "fields": (
                    "state", "reason", "is_default", "flow", "granted", "access",
                    "refreshing",
                )
            },
        ),
        (
            _("Times"),
            {
                "fields": (
                    "created_at", "connected_at", "last_used_at", "last_validated_at",
                    "next_validation_at", "expires_on", "next_refresh",
                )
            },
        ),
    )  # fmt: skip

    def get_readonly_fields(
        self, request: HttpRequest, obj: EgnyteAccount | None = None
    ) -> list[str]:
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [name for name in shown if name != "is_default"]

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(self.search_fields) or search.FIELDS

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if self.search_fields:  # a site's own
            return super().get_search_results(request, queryset, search_term)
        return search.found(queryset, search_term), False

    class Media(ActingAdmin.Media):
        js = ("egnyte/admin.js",)

    # Columns and fields

    @admin.display(description=_("Egnyte user"))
    def identity(self, account: EgnyteAccount) -> SafeString:
        return of_domain(account.username or str(account.egnyte_user_id), account.domain)

    @admin.display(description=_("status"))
    def state(self, account: EgnyteAccount) -> SafeString:
        return format_html(
            '<span class="egnyte-status egnyte-status-{}">{}</span>',
            account.status,
            account.get_status_display(),
        )

    @admin.display(description=_("reason"))
    def reason(self, account: EgnyteAccount) -> str | None:
        return why(account) or None

    @admin.display(description=_("scopes"))
    def granted(self, account: EgnyteAccount) -> str:
        return ", ".join(s.removeprefix("Egnyte.") for s in account.scopes) or gettext("everything")

    @admin.display(description=_("connected"))
    def connected(self, account: EgnyteAccount) -> str:
        return distance(account.connected_at)

    @admin.display(description=_("validated"))
    def validated(self, account: EgnyteAccount) -> str:
        return distance(account.last_validated_at)

    @admin.display(description=_("expires"))
    def expires(self, account: EgnyteAccount) -> str | None:
        return distance(account.expires_at) if account.is_live else None

    @admin.display(description=_("token expires at"))
    def expires_on(self, account: EgnyteAccount) -> str | None:
        never = gettext("never") if account.is_live else None
        return exactly(account.expires_at) or never

    @admin.display(description=_("name"))
    def person(self, account: EgnyteAccount) -> str:
        return f"{account.first_name} {account.last_name}".strip()

    @admin.display(description=_("next refresh at"))
    def next_refresh(self, account: EgnyteAccount) -> str | None:
        return exactly(account.token.grant.next_refresh_at) if account.token is not None else None

    @admin.display(description=_("access token"))
    def access(self, account: EgnyteAccount) -> str:
        token = account.token
        if token is None:
            return gettext("none")
        return gettext("stored, %(age)s old, fingerprint %(fingerprint)s") % {
            "age": timesince(token.created_at, depth=1),
            "fingerprint": token.fingerprint[:8],
        }

    @admin.display(description=_("refresh token"))
    def refreshing(self, account: EgnyteAccount) -> str:
        token = account.token
        if token is None or not token.refresh_fingerprint:
            return gettext("none")
        text = (
            gettext("refused by Egnyte, fingerprint %(fingerprint)s")
            if token.grant.refresh_refused_at is not None
            else gettext("stored, fingerprint %(fingerprint)s")
        )
        return text % {"fingerprint": token.refresh_fingerprint[:8]}

    # The page of an account

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        account = context.get("original")
        if account is not None:
            context["egnyte_outcome"] = outcome_of(account)
        if account is not None and may_view(self.admin_site, request, AccountEvent):
            events = rows_of(self.admin_site, request, AccountEvent)
            of_account = events.filter(account_ref=account.pk).order_by("-created_at", "-pk")
            shown = named(list(of_account[:RECENT]))
            context["egnyte_events"] = [
                (event, actor_name(event), reason_of(event)) for event in shown
            ]
            context["egnyte_events_url"] = list_address(
                self.admin_site, request, AccountEvent, account_ref__exact=account.pk
            )
        return super().render_change_form(request, context, *args, **kwargs)

    # Changes

    def has_validate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may("validate", request, obj)

    def has_refresh_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may("refresh", request, obj)

    def has_ask_reconnect_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may("ask_reconnect", request, obj)

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may("revoke", request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and self.has_view_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: EgnyteAccount, form: Any, change: bool) -> None:
        if "is_default" not in form.changed_data:
            return
        if obj.is_default:
            make_default(obj.user, obj)
        else:
            administer.clear_default(obj)

    def delete_model(self, request: HttpRequest, obj: EgnyteAccount) -> None:
        disconnect(obj.pk, actor=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for pk in list(queryset.values_list("pk", flat=True)):
            disconnect(pk, actor=actor_of(request))

    # The health page

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "health/",
            self.admin_site.admin_view(self.health_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_health",
        )
        return [page, *super().get_urls()]

    def health_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "admin/django_egnyte/egnyteaccount/health.html",
            {
                **self.admin_site.each_context(request),
                "title": _("Link health"),
                "opts": self.opts,
                "media": self.media,
                "grants_url": list_address(self.admin_site, request, EgnyteGrant),
                "events_url": list_address(self.admin_site, request, AccountEvent),
                **health.figures(request.GET.get("period", "")),
            },
        )
