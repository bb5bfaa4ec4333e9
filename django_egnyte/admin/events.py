"""The admin of the history: for reading only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import AccountEvent
from .acts import RowAdmin
from .paging import EstimatingPaginator

if TYPE_CHECKING:
    from .acts import Options


@admin.register(AccountEvent)
class AccountEventAdmin(RowAdmin):
    """What happened. Searched for exactly, by what is indexed: the table is the largest."""

    list_display: Options = (
        "created_at",
        "kind",
        "actor",
        "username",
        "domain",
        "account_ref",
        "reason",
    )
    list_filter: ClassVar[Options] = ("kind",)
    ordering: ClassVar[Options | None] = ("-created_at", "-pk")
    paginator = EstimatingPaginator
    search_fields: ClassVar[Options] = ("user_ref__exact",)
    search_help_text = _("The primary key of a user of this site")
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by: ClassVar[Options | None] = ()
    list_per_page = 50

    class Media:
        css = {"all": ["egnyte/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
