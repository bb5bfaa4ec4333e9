"""Where connecting begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from .. import gateway, state
from ..choices import Flow, Scope
from ..conf import conf
from ..exceptions import InvalidDomainError, TooManyFailuresError
from ..forms import domain_form
from ..models import EgnyteAccount
from ..services import ledger
from .pages import asked_scopes, egnyte_page, error_page, refusal, safe_next

logger = logging.getLogger("django_egnyte.views")


@egnyte_page(["GET", "HEAD", "POST"])
def connect(request: HttpRequest) -> HttpResponse:
    """``egnyte:connect``: GET explains and asks, POST sends the browser to Egnyte."""
    redirect_uri = conf.redirect_uri or request.build_absolute_uri(reverse("egnyte:callback"))
    if not redirect_uri.startswith("https://") and not conf.base_url:
        return _insecure(request)
    given = request.POST if request.method == "POST" else request.GET
    next_path = safe_next(request, given.get("next", ""))
    scopes = asked_scopes(given.get("scopes", ""))
    account = _account(request, given.get("account", ""))
    host = gateway.fixed_host()
    if account is not None:
        try:
            host = gateway.host_of(account.domain)
        except InvalidDomainError as error:  # the settings have changed since it was connected
            return error_page(request, error, next_path=next_path)
    if conf.flow == Flow.PASSWORD:
        return _to_password(account, given, next_path)
    form = None
    if host is None and conf.flow != Flow.ENHANCED:
        data = given if request.method == "POST" else None
        form = domain_form(data, initial=given.get("domain", ""))
    if request.method == "POST" and (form is None or form.is_valid()):
        host = host or (form.cleaned_data["domain"] if form else "")
        if conf.flow == Flow.IMPLICIT:
            # Egnyte issues that token whether it is taken afterwards or not.
            try:
                ledger.refuse_without_allowance(str(request.user.pk))
            except TooManyFailuresError as error:
                return error_page(request, error, domain=host, next_path=next_path)
        started = state.begin(
            request.session,
            user=str(request.user.pk),
            flow=conf.flow,
            host=host,
            redirect_uri=redirect_uri,
            scopes=scopes,
            next=next_path,
            relink=account.pk if account is not None else None,
        )
        return redirect(
            gateway.authorization_url(
                conf.flow, host, redirect_uri=redirect_uri, state=started, scopes=scopes
            )
        )
    context = {
        "form": form,
        "host": host,
        "account": account,
        "next": next_path,
        "scopes": given.get("scopes", "") if scopes != tuple(conf.scopes) else "",
        "scope_labels": [_label(scope) for scope in scopes],
    }
    status = 400 if form and form.errors else 200
    return render(request, "egnyte/connect.html", context, status=status)


def _to_password(
    account: EgnyteAccount | None, given: Mapping[str, Any], next_path: str
) -> HttpResponse:
    """Nothing to redirect to: this flow's form is on this site."""
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
    """The account to reconnect, which must be the user's."""
    if not pk:
        return None
    accounts = EgnyteAccount.objects.for_user(request.user)
    return get_object_or_404(accounts, pk=int(pk) if pk.isdecimal() and len(pk) < 19 else -1)


def _label(scope: str) -> str:
    return str(Scope(scope).label) if scope in Scope.values else scope


def _insecure(request: HttpRequest) -> HttpResponse:
    logger.error(
        "Egnyte takes https redirect URIs only, and this request looks like http. Behind a proxy "
        "that ends TLS, set SECURE_PROXY_SSL_HEADER; or set EGNYTE_REDIRECT_URI.",
        extra={"event": "insecure_redirect_uri"},
    )
    return refusal(
        request,
        status=503,
        title=_("This site is not set up for Egnyte yet"),
        message=_(
            "Egnyte needs a secure (https) address to come back to. The administrator of this "
            "site can set SECURE_PROXY_SSL_HEADER or EGNYTE_REDIRECT_URI."
        ),
    )
