"""The read-only admin of the history."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext_lazy as _

from .. import domains
from ..conf import conf
from ..exceptions import InvalidDomainError
from ..models import AccountEvent
from .acts import RowAdmin
from .filters import DomainFilter, KindFilter
from .paging import EstimatingPaginator
from .people import (
    NamingList,
    account_page,
    actor_name,
    of_domain,
    reason_of,
    refs_of,
    user_name,
    user_page,
)

if TYPE_CHECKING:
    from .acts import Options


@admin.register(AccountEvent)
class AccountEventAdmin(RowAdmin):
    """The search finds only whole words, by indexes, because this table is the largest."""

    list_display: Options = ("created_at", "event", "user", "account", "by", "why")
    list_filter: ClassVar[Options] = (KindFilter, DomainFilter)
    fields: ClassVar[Options | None] = (
        "created_at", "kind", "why", "by", "user_page", "domain", "username", "account_page",
    )  # fmt: skip
    ordering: ClassVar[Options | None] = ("-created_at", "-pk")
    paginator = EstimatingPaginator
    search_fields: ClassVar[Options] = ("user_ref__exact", "username__exact", "domain__exact")
    search_help_text = _("A username of this site or of Egnyte, or a domain, written in full")
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by: ClassVar[Options | None] = ()
    list_per_page = 50

    class Media:
        css = {"all": ["egnyte/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NamingList]:
        return NamingList

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for word in smart_split(search_term):
            if word[0] in "\"'" and word[0] == word[-1]:
                word = unescape_string_literal(word)
            found = Q(user_ref__in=[word, *refs_of(word)])
            found |= Q(username__in={word, word.lower()})
            with suppress(InvalidDomainError):
                found |= Q(domain=domains.parse(word, suffixes=conf.domain_suffixes))
            queryset = queryset.filter(found)
        return queryset, False

    # Columns and fields

    @admin.display(description=_("event"))
    def event(self, event: AccountEvent) -> str:
        return event.get_kind_display()

    @admin.display(description=_("user"))
    def user(self, event: AccountEvent) -> SafeString | None:
        if not event.user_ref:
            return None
        return format_html('<a href="?user_ref={}">{}</a>', event.user_ref, user_name(event))

    @admin.display(description=_("user"))
    def user_page(self, event: AccountEvent) -> str | None:
        return user_page(self.admin_site, event)

    @admin.display(description=_("Egnyte user"))
    def account(self, event: AccountEvent) -> SafeString:
        return of_domain(event.username, event.domain)

    @admin.display(description=_("by"))
    def by(self, event: AccountEvent) -> str:
        return actor_name(event)

    @admin.display(description=_("reason"))
    def why(self, event: AccountEvent) -> str:
        return reason_of(event)

    @admin.display(description=_("account"))
    def account_page(self, event: AccountEvent) -> str | None:
        return account_page(self.admin_site, event)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
