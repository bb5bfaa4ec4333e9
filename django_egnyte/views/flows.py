"""The additional pages of the Enhanced, implicit and password flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from .. import gateway, state
from ..choices import Flow, Scope
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
from ..oauth import TokenAnswer, browser_answer
from ..scopes import lacking
from ..secret import Secret
from ..services import link
from .incoming import take
from .pages import asked_scopes, egnyte_page, error_page, refuse_callback_error, safe_next
from .reasons import why


@egnyte_page(["GET", "HEAD", "POST"])
@sensitive_variables()
def domain(request: HttpRequest) -> HttpResponse:
    """``egnyte:domain``: asks the user for the domain that the Enhanced service did not name."""
    given = request.POST if request.method == "POST" else request.GET
    parked = given.get("attempt", "")
    try:
        attempt, code = state.take_back(request.COOKIES, parked, user=str(request.user.pk))
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
    """``egnyte:implicit``: the script of the callback page posts the fragment to it."""
    given = take(request, "access_token", "state")
    posted: Secret = given.get("state", Secret())
    try:
        attempt = state.recall(
            request.COOKIES, posted.reveal(), user=str(request.user.pk), late=True
        )
    except EgnyteError as error:
        return error_page(request, error)
    with override(attempt.language):
        return _took(request, given, attempt)


@sensitive_variables()
def _took(request: HttpRequest, given: dict[str, Any], attempt: state.Attempt) -> HttpResponse:
    posted: Secret = given["state"]
    try:
        if attempt.flow != Flow.IMPLICIT:
            raise OAuthError("A token was posted for an attempt of another flow.")
        link.spend_state(posted.reveal())
        refuse_callback_error(given.get("error", ""))
        account = _link_posted(request, attempt, _answer(given))
    except EgnyteError as error:
        if isinstance(error, UnauthorizedError):
            # This is not a failure of Egnyte: the browser posted this token.
            error = OAuthError("Egnyte does not know the token that was posted.", host=attempt.host)
        return error_page(request, error, domain=attempt.host, next_path=attempt.next)
    return connected(request, account, attempt.next, attempt.scopes)


@sensitive_variables()
def _answer(given: dict[str, Any]) -> TokenAnswer:
    """The posted token, with the scopes that the browser claims for it."""
    token: Secret = given.get("access_token", Secret())
    scope = given.get("scope", "")
    return browser_answer(
        {
            "access_token": token.reveal(),
            "expires_in": given.get("expires_in", ""),
            # Ignore a text that is longer than all scopes together.
            "scope": scope if len(scope) <= 4096 else "",
        }
    )


@sensitive_variables()
def _link_posted(
    request: HttpRequest, attempt: state.Attempt, answer: TokenAnswer
) -> EgnyteAccount:
    try:
        attempt.refuse_if_late()
    except StateError:
        link.give_back_token(request.user, answer, host=attempt.host)
        raise
    return link.link_with_token(
        request.user,
        answer,
        host=attempt.host,
        scopes=attempt.scopes,
        relink=attempt.relink,
    )


@sensitive_post_parameters("password")
@egnyte_page(["GET", "HEAD", "POST"])
@sensitive_variables()
def password(request: HttpRequest) -> HttpResponse:
    """``egnyte:password``: asks for the Egnyte password, and uses it once without storing it."""
    if conf.flow != Flow.PASSWORD:
        raise Http404
    if request.method != "POST":
        return _password_page(request, request.GET.dict())
    given = take(request, "password")
    where = domain_form(given)
    form = PasswordForm(given)
    if not form.is_valid() or not (where is None or where.is_valid()):
        return _password_page(request, given, form, where, status=400)
    host = gateway.fixed_host() or (where.cleaned_data["domain"] if where else "")
    next_path = safe_next(request, given.get("next", ""))
    scopes = asked_scopes(request, given.get("scopes", ""))
    try:
        account = link.link_with_password(
            request.user,
            username=form.cleaned_data["username"],
            password=form.cleaned_data["password"],
            host=host,
            scopes=scopes,
        )
    except InvalidCredentialsError as error:
        form.add_error(None, _(error.user_hint))
        return _password_page(request, given, form, where, status=403)
    except EgnyteError as error:
        return error_page(request, error, domain=host, next_path=next_path)
    return connected(request, account, next_path, scopes)


def _password_page(
    request: HttpRequest,
    given: dict[str, Any],
    form: PasswordForm | None = None,
    where: DomainForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page with the form: empty, filled in from the URL, or with errors."""
    signed = given.get("scopes", "")
    asked = asked_scopes(request, signed)
    if form is None:
        form = PasswordForm(initial={"username": given.get("username", "")})
        where = domain_form(initial=given.get("domain", ""))
    context: dict[str, Any] = {
        "form": form,
        "domain_form": where,
        "host": gateway.fixed_host(),
        "next": safe_next(request, given.get("next", "")),
        "scopes": signed if asked != tuple(conf.scopes) else "",
        **why(request, asked),
    }
    return render(request, "egnyte/password.html", context, status=status)


@sensitive_variables()
def exchanged(
    request: HttpRequest, attempt: state.Attempt, code: Secret, host: str
) -> HttpResponse:
    """Exchange the code of an attempt whose state is spent. Raises what linking raises."""
    account = link.link_with_code(
        request.user,
        code=code,
        host=host,
        redirect_uri=attempt.redirect_uri,
        scopes=attempt.scopes,
        flow=attempt.flow,
        relink=attempt.relink,
    )
    return connected(request, account, attempt.next, attempt.scopes)


def connected(
    request: HttpRequest, account: EgnyteAccount, next_path: str, asked: Sequence[str]
) -> HttpResponse:
    """Tell the user, and redirect to ``next_path``.

    If Egnyte granted less than the site ``asked`` for, tell the user and do not redirect there:
    that page may need the missing scope, and would send the user to Egnyte again.
    """
    text = _("Connected to %(domain)s.") % {"domain": account.domain}
    if missing := lacking(account.scopes, asked):
        what = ", ".join(Scope.label_of(scope) for scope in missing)
        less = _(
            "Egnyte did not allow everything that this site asked for. Missing: %(what)s. Pages "
            "that need this do not work. Reconnect the account to try again."
        )
        messages.warning(request, f"{text} {less % {'what': what}}", fail_silently=True)
        return HttpResponseRedirect(reverse("egnyte:accounts"))
    messages.success(request, text, fail_silently=True)
    # Not redirect(), which could take the path for the name of a view.
    return HttpResponseRedirect(next_path or reverse("egnyte:accounts"))
