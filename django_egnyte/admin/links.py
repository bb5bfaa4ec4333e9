"""Links to other models' admins on the same admin site, for permitted administrators."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.auth import get_permission_codename
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse


def may_view(site: AdminSite, request: HttpRequest, model: type[Model]) -> bool:
    """Whether the administrator may view ``model``. Without an admin for it, permissions decide."""
    if site.is_registered(model):
        return site.get_model_admin(model).has_view_permission(request)
    names = (get_permission_codename(verb, model._meta) for verb in ("view", "change"))
    label = model._meta.app_label
    # Users of the admin have this method; the base class in django-stubs lacks it.
    has_perm = request.user.has_perm  # pyright: ignore[reportAttributeAccessIssue]
    return any(has_perm(f"{label}.{name}") for name in names)


def rows_of(site: AdminSite, request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    """The rows that the model's admin on this site lists. Without an admin, all rows."""
    if site.is_registered(model):
        return site.get_model_admin(model).get_queryset(request)
    return model._default_manager.all()


def list_address(
    site: AdminSite, request: HttpRequest, model: type[Model], **filters: object
) -> str:
    """The URL of a model's list. Empty if there is none that the administrator may view."""
    if not site.is_registered(model) or not may_view(site, request, model):
        return ""
    address = _address(site, model, "changelist")
    return f"{address}?{urlencode(filters)}" if address and filters else address


def row_address(site: AdminSite, model: type[Model], key: object) -> str:
    """The URL of a row's page. Empty if there is none. The page checks the permission."""
    return _address(site, model, "change", key) if site.is_registered(model) else ""


def _address(site: AdminSite, model: type[Model], page: str, *args: object) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    try:
        return reverse(name, args=args, current_app=site.name)
    except NoReverseMatch:  # a site's own admin may lack this page
        return ""
