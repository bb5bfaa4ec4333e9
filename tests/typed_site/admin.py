"""A subclass of the admin, with more columns."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from django_egnyte.admin import AccountEventAdmin, EgnyteAccountAdmin, EgnyteGrantAdmin
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant

site = admin.AdminSite(name="typed")


@admin.register(EgnyteAccount, site=site)
class SiteAccountAdmin(EgnyteAccountAdmin):
    list_display = (*EgnyteAccountAdmin.list_display, "company")

    @admin.display(description="company", ordering="domain")
    def company(self, account: EgnyteAccount) -> str:
        return account.domain.partition(".")[0]


@admin.register(AccountEvent, site=site)
class SiteEventAdmin(AccountEventAdmin):
    list_per_page = 20


@admin.register(EgnyteGrant, site=site)
class SiteRevocationAdmin(EgnyteGrantAdmin):
    def has_view_permission(self, request: HttpRequest, obj: EgnyteGrant | None = None) -> bool:
        return super().has_view_permission(request, obj) and not request.GET.get("secret")
