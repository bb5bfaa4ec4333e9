"""The page on which a user starts to connect."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from .. import gateway, state
from ..choices import Flow, Scope
from ..conf import conf
from ..exceptions import EgnyteError
from ..forms import DomainForm, domain_form
from ..models import EgnyteAccount
from ..services import ledger
from .pages import asked_scopes, egnyte_page, error_page, refusal, safe_next
from .reasons import why

logger = logging.getLogger("django_egnyte.views")


@dataclass(frozen=True, slots=True)
class Wish:
    """The parameters of the request. ``host`` is ``None`` until the user has named a domain."""

    next_path: str
    signed_scopes: str
    scopes: tuple[str, ...]
    account: EgnyteAccount | None
    host: str | None
    redirect_uri: str


@egnyte_page(["GET", "HEAD", "POST"])
def connect(request: HttpRequest) -> HttpResponse:
    """``egnyte:connect``: GET explains and asks, POST sends the browser to Egnyte."""
    redirect_uri = conf.redirect_uri or request.build_absolute_uri(state.address("egnyte:callback"))
    if not redirect_uri.startswith("https://") and not conf.base_url:
        return _insecure(request)
    given = request.POST if request.method == "POST" else request.GET
    next_path = safe_next(request, given.get("next", ""))
    try:
        wish = _wish(request, given, next_path, redirect_uri)
        if conf.flow == Flow.PASSWORD:
            return _to_password(wish.account, given, next_path)
        form = None
        if wish.host is None and conf.flow != Flow.ENHANCED:
            data = given if request.method == "POST" else None
            form = domain_form(data, initial=given.get("domain", ""))
        if request.method == "POST" and (form is None or form.is_valid()):
            host = wish.host or (form.cleaned_data["domain"] if form else "")
            return _begin(request, wish, host)
        return _page(request, wish, form)
    except EgnyteError as error:
        return error_page(request, error, domain=given.get("domain", ""), next_path=next_path)


def _wish(
    request: HttpRequest, given: Mapping[str, str], next_path: str, redirect_uri: str
) -> Wish:
    """``InvalidDomainError`` if the settings no longer allow the host of the account."""
    signed = given.get("scopes", "")
    asked = asked_scopes(request, signed)
    account = _account(request, given.get("account", ""))
    host = gateway.host_of(account.domain) if account is not None else gateway.fixed_host()
    return Wish(
        next_path=next_path,
        signed_scopes=signed if asked != tuple(conf.scopes) else "",
        scopes=asked,
        account=account,
        host=host,
        redirect_uri=redirect_uri,
    )


def _begin(request: HttpRequest, wish: Wish, host: str) -> HttpResponse:
    """Send the browser to Egnyte. The attempt is in a cookie of its own.

    It writes no session and makes no query, except for the implicit flow.
    """
    user = str(request.user.pk)
    if conf.flow == Flow.IMPLICIT:
        # Egnyte issues an implicit token whether or not this site then accepts it.
        ledger.refuse_without_allowance(user)
    given = state.new()
    response = HttpResponseRedirect(
        gateway.authorization_url(
            conf.flow, host, redirect_uri=wish.redirect_uri, state=given, scopes=wish.scopes
        )
    )
    state.begin(
        request.COOKIES,
        response,
        given,
        user=user,
        flow=conf.flow,
        host=host,
        redirect_uri=wish.redirect_uri,
        scopes=wish.scopes,
        next=wish.next_path,
        relink=wish.account.pk if wish.account is not None else None,
    )
    return response


def _page(request: HttpRequest, wish: Wish, form: DomainForm | None) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "host": wish.host,
        "account": wish.account,
        "next": wish.next_path,
        "scopes": wish.signed_scopes,
        "scope_labels": [Scope.label_of(scope) for scope in wish.scopes],
    }
    if wish.account is None:
        context |= why(request, wish.scopes)
    status = 400 if form and form.errors else 200
    return render(request, "egnyte/connect.html", context, status=status)


def _to_password(
    account: EgnyteAccount | None, given: Mapping[str, Any], next_path: str
) -> HttpResponse:
    """The password flow has its form on this site, so there is no redirect."""
    query = {
        "next": next_path,
        "scopes": given.get("scopes", ""),
        "domain": account.domain if account is not None else given.get("domain", ""),
        "username": account.username if account is not None else "",
    }
    query = {name: value for name, value in query.items() if value}
    url = reverse("egnyte:password")
    return redirect(f"{url}?{urlencode(query)}" if query else url)


def _account(request: HttpRequest, pk: str) -> EgnyteAccount | None:
    """The account to reconnect. It must be the user's own."""
    if not pk:
        return None
    accounts = EgnyteAccount.objects.for_user(request.user)
    return get_object_or_404(accounts, pk=int(pk) if pk.isdecimal() and len(pk) < 19 else -1)


def _insecure(request: HttpRequest) -> HttpResponse:
    logger.error(
        "Egnyte accepts only https redirect URIs, and this request looks like http. If a proxy "
        "terminates TLS, set SECURE_PROXY_SSL_HEADER. Otherwise set EGNYTE_REDIRECT_URI.",
        extra={"event": "insecure_redirect_uri"},
    )
    return refusal(
        request,
        status=503,
        title=_("This site is not set up for Egnyte yet"),
        message=_(
            "Egnyte redirects only to secure (https) addresses. Please tell the administrator of "
            "this site to set SECURE_PROXY_SSL_HEADER or EGNYTE_REDIRECT_URI."
        ),
    )
