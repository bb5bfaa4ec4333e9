"""What the Enhanced, implicit and password flows need besides connect and callback."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from .. import gateway, state
from ..choices import Flow
from ..conf import conf
from ..exceptions import (
    EgnyteError,
    InvalidCredentialsError,
    OAuthError,
    StateError,
    UnauthorizedError,
)
from ..forms import DomainForm, PasswordForm, domain_form
from ..models import EgnyteAccount
from ..oauth import browser_answer
from ..secret import Secret
from ..services import link
from .pages import asked_scopes, egnyte_page, error_page, refuse_callback_error, safe_next


@egnyte_page(["GET", "HEAD", "POST"])
@sensitive_variables()
def domain(request: HttpRequest) -> HttpResponse:
    """``egnyte:domain``: the Enhanced service did not say which domain, so the user is asked."""
    given = request.POST if request.method == "POST" else request.GET
    parked = given.get("attempt", "")
    try:
        attempt, code = state.take_back(request.session, parked, user=str(request.user.pk))
    except EgnyteError as error:
        return error_page(request, error)
    form = DomainForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        context = {"form": form, "attempt": parked}
        return render(request, "egnyte/domain.html", context, status=400 if form.is_bound else 200)
    host = form.cleaned_data["domain"]
    try:
        link.spend_state(parked)
        return exchanged(request, attempt, code, host)
    except EgnyteError as error:
        return error_page(request, error, domain=host, next_path=attempt.next)


@sensitive_post_parameters()
@egnyte_page(["POST"])
@sensitive_variables()
def implicit(request: HttpRequest) -> HttpResponse:
    """``egnyte:implicit``: the callback page's script posts what stood in the fragment."""
    given = request.POST.get("state", "")
    try:
        attempt = state.recall(request.session, given, user=str(request.user.pk), late=True)
    except EgnyteError as error:
        return error_page(request, error)
    try:
        if attempt.flow != Flow.IMPLICIT:
            raise OAuthError("A token was posted for an attempt of another flow.")
        link.spend_state(given)
        refuse_callback_error(request.POST.get("error", ""))
        answer = browser_answer(request.POST.dict())
        try:
            attempt.refuse_if_late()
        except StateError:
            link.give_back_token(request.user, answer, host=attempt.host)
            raise
        account = link.link_with_token(
            request.user,
            answer,
            host=attempt.host,
            scopes=attempt.scopes,
            relink=attempt.relink,
        )
    except EgnyteError as error:
        if isinstance(error, UnauthorizedError):
            # Not Egnyte's trouble, as it would be after a code: the browser brought this token.
            error = OAuthError("Egnyte does not know the token that was posted.", host=attempt.host)
        return error_page(request, error, domain=attempt.host, next_path=attempt.next)
    return connected(request, account, attempt.next)


@sensitive_post_parameters("password")
@egnyte_page(["GET", "HEAD", "POST"])
@sensitive_variables()
def password(request: HttpRequest) -> HttpResponse:
    """``egnyte:password``: asks for the Egnyte password, uses it once and keeps it nowhere."""
    if conf.flow != Flow.PASSWORD:
        raise Http404
    given = request.POST if request.method == "POST" else request.GET
    next_path = safe_next(request, given.get("next", ""))
    scopes = asked_scopes(given.get("scopes", ""))
    data = request.POST if request.method == "POST" else None
    where = domain_form(data, initial=given.get("domain", ""))
    form = PasswordForm(data, initial={"username": given.get("username", "")})
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid() and (where is None or where.is_valid()):
            host = gateway.fixed_host() or (where.cleaned_data["domain"] if where else "")
            try:
                account = link.link_with_password(
                    request.user,
                    username=form.cleaned_data["username"],
                    password=Secret(form.cleaned_data["password"]),
                    host=host,
                    scopes=scopes,
                )
                return connected(request, account, next_path)
            except InvalidCredentialsError as error:
                form.add_error(None, _(error.user_hint))
                status = 403
            except EgnyteError as error:
                return error_page(request, error, domain=host, next_path=next_path)
    context: dict[str, Any] = {
        "form": form,
        "domain_form": where,
        "host": gateway.fixed_host(),
        "next": next_path,
        "scopes": given.get("scopes", "") if scopes != tuple(conf.scopes) else "",
    }
    return render(request, "egnyte/password.html", context, status=status)


@sensitive_variables()
def exchanged(request: HttpRequest, attempt: state.Attempt, code: str, host: str) -> HttpResponse:
    """Exchange the code of an attempt whose state is spent, and go on. Raises what linking does."""
    account = link.link_with_code(
        request.user,
        code=Secret(code),
        host=host,
        redirect_uri=attempt.redirect_uri,
        scopes=attempt.scopes,
        flow=attempt.flow,
        relink=attempt.relink,
    )
    return connected(request, account, attempt.next)


def connected(request: HttpRequest, account: EgnyteAccount, next_path: str) -> HttpResponse:
    """Say so, and go on."""
    text = _("Connected to %(domain)s.") % {"domain": account.domain}
    messages.success(request, text, fail_silently=True)
    # Not redirect(): that would take a path for the name of a view.
    return HttpResponseRedirect(next_path or reverse("egnyte:accounts"))
