"""The tags of ``{% load egnyte %}``: links to connect, and a choice of account."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import HttpRequest
from django.urls import get_script_prefix

from ..access import connect_url
from ..models import EgnyteAccount

register = template.Library()


@register.simple_tag(takes_context=True)
def egnyte_site(context: template.RequestContext) -> dict[str, str]:
    """The ``name`` of this site and the URL of its ``home``.

    The name is that of ``django.contrib.sites`` if it is installed, or else the host.
    """
    request = context.request
    try:
        name = get_current_site(request).name
    except (ImproperlyConfigured, ObjectDoesNotExist):
        name = request.get_host()
    return {"name": name, "home": get_script_prefix()}


@register.simple_tag(takes_context=True)
def egnyte_connect_url(
    context: template.Context, *, next: str | None = None, domain: str = "", scopes: str = ""
) -> str:
    """The URL of the connect page. The user then returns to ``next``, by default to this page.

    ``scopes`` are separated by spaces, and requested in addition to the site's own. Without the
    request in the template's context, they are ignored, and there is no default for ``next``.
    """
    request: HttpRequest | None = context.get("request")
    if next is None:
        next = request.get_full_path() if request is not None and request.method == "GET" else ""
    user: Any = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    return connect_url(
        next_path=next, domain=domain, scopes=scopes.split() if known else (), user=user
    )


@register.inclusion_tag("egnyte/switcher.html", takes_context=True)
def egnyte_switcher(context: template.Context, *, next: str | None = None) -> dict[str, Any]:
    """A form to choose the account that this site uses, if the user has several live ones.

    The user then returns to ``next``, by default to this page. Makes one query.
    """
    request: HttpRequest | None = context.get("request")
    if request is None:
        return {"accounts": []}
    if next is None:
        next = request.get_full_path() if request.method == "GET" else ""
    accounts = EgnyteAccount.objects.for_user(request.user).live().order_by("domain", "pk")
    return {"accounts": accounts, "next": next, "csrf_token": context.get("csrf_token")}
