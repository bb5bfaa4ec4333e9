"""A second admin site for staff, with one model."""

from __future__ import annotations

from django.contrib import admin

from django_egnyte.admin import EgnyteAccountAdmin
from django_egnyte.models import EgnyteAccount


class StaffSite(admin.AdminSite):
    site_header = "Staff"


site = StaffSite(name="staff")
site.register(EgnyteAccount, EgnyteAccountAdmin)
