"""The pages for browsers: the domain prompt of the Enhanced service, and the consent page."""

from __future__ import annotations

from urllib.parse import urlencode

from . import pages, refusals
from .addressing import Address, sibling
from .authorization import (
    AUTHORIZE,
    AuthorizationError,
    check,
    decide,
    enhanced_domain,
)
from .messages import Request, Response, html_answer, redirect
from .world import World

DECISION = "/puboauth/decision"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
)


def authorize(sandbox: World, request: Request) -> Response:
    """`GET /puboauth/token`: the consent page."""
    try:
        check(sandbox, request.args)
    except AuthorizationError as error:
        return _refused(sandbox, request, error)
    return _consent(sandbox, request, "")


def decision(sandbox: World, request: Request) -> Response:
    """`POST` of the consent page's form, to `/puboauth/decision`."""
    if request.method != "POST":
        return redirect(f"{request.prefix}{AUTHORIZE}?{request.query}")
    try:
        asked = check(sandbox, request.args)
    except AuthorizationError as error:
        return _refused(sandbox, request, error)
    form = request.form()
    user = None
    if form.get("decision") == "allow":
        user = sandbox.check_password(
            request.label, form.get("username", ""), form.get("password", "")
        )
        if user is None:
            return _consent(sandbox, request, form.get("username", ""), wrong=True)
    location = decide(sandbox, asked, request.label, user)
    return redirect(location, ("Referrer-Policy", _referrer_policy(sandbox, request)))


def enhanced(sandbox: World, request: Request) -> Response:
    """`GET /services/oauth/code`: asks for the domain if it is missing, then redirects to it."""
    args = request.args
    try:
        check(sandbox, args)
    except AuthorizationError as error:
        return _refused(sandbox, request, error)
    asked = args.pop("domain", "")
    problem = ""
    if asked:
        try:
            label = enhanced_domain(sandbox, asked)
        except AuthorizationError as error:
            problem = error.message
        else:
            address = Address(request.label, request.prefix, request.path)
            return redirect(f"{sibling(address, label)}{AUTHORIZE}?{urlencode(args)}")
    page = pages.domain_prompt(args, asked, problem, sorted(sandbox.domains))
    return _page(sandbox, request, page, 404 if problem else 200)


def _consent(sandbox: World, request: Request, username: str, *, wrong: bool = False) -> Response:
    asked = check(sandbox, request.args)
    with sandbox.lock:
        users = sorted(sandbox.domains[request.label].users)
    page = pages.consent(
        action=f"{request.prefix}{DECISION}?{request.query}",
        application=asked.key.name,
        domain=request.label,
        scopes=asked.scopes,
        redirect_uri=asked.redirect_uri,
        username=username,
        users=users,
        wrong=wrong,
    )
    return _page(sandbox, request, page, 403 if wrong else 200)


def _refused(sandbox: World, request: Request, error: AuthorizationError) -> Response:
    if error.raw:
        row = refusals.Row(error.status, "INTERNAL_ERROR", error.message)
        return refusals.refuse(row, sandbox.settings.error_shape)
    return _page(sandbox, request, pages.error(error.message), error.status)


def _page(sandbox: World, request: Request, page: str, status: int) -> Response:
    return html_answer(
        page,
        status,
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", _referrer_policy(sandbox, request)),
    )


def _referrer_policy(sandbox: World, request: Request) -> str:
    """The policy with which a browser sends a Referer that names the domain.

    Only the Referer tells the application the domain. If the domain is in the host, the origin
    names it; if it is in the path, only the whole URL does.
    """
    if not sandbox.settings.send_referer:
        return "no-referrer"
    return "unsafe-url" if "/d/" in request.prefix else "origin"
