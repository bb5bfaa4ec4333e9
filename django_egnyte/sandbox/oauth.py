"""The token endpoint, user info and revocation."""

from __future__ import annotations

import hmac

from . import refusals
from .grants import exchanged_scopes
from .messages import Request, Response, json_answer
from .refusals import refuse
from .routing import Call, routes
from .state import Issued, Key, Token, TokenPolicy
from .world import World

REVOKE = "/pubapi/v1/tokens/revoke"


def token(sandbox: World, request: Request) -> Response:
    """`POST /puboauth/token`, for every grant type."""
    form = request.form()
    grant_type = form.get("grant_type", "")
    settings = sandbox.settings
    shape = settings.error_shape
    if not request.is_form:
        # Egnyte's page: the error for a missing or invalid Content-Type.
        return refuse(refusals.MISSING_CREDENTIALS, shape)
    if not form.get("client_id"):
        return refuse(refusals.MALFORMED, shape)
    if grant_type in ("authorization_code", "password", "refresh_token"):
        request.endpoint = f"token:{grant_type}"
    with sandbox.lock:
        key = sandbox.key(form["client_id"])
        if key is None or key.suspended:
            return refuse(refusals.unknown_key(settings), shape)
        username = form.get("username", "")
        limited = sandbox.token_requests.count(
            key, settings, sandbox.now(), request.label, username
        )
        if limited is not None:
            return limited
        if key.flow == "implicit":
            return refuse(refusals.IMPLICIT_KEY, shape)
        if grant_type == "refresh_token":
            return _refresh(sandbox, request, key, form)
        if key.flow == "internal":
            return _password(sandbox, request, key, form)
        if grant_type == "password":
            # Not on Egnyte's page: public keys may not use the password flow.
            return json_answer({"error": "unauthorized_client"}, 400)
        if grant_type != "authorization_code":
            return refuse(refusals.MALFORMED, shape)
        return _code(sandbox, request, key, form)


def userinfo(call: Call) -> Response:
    """`GET /pubapi/v1/userinfo`."""
    user = call.user
    answer: dict[str, object] = {
        "id": user.id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "username": user.username,
    }
    if call.settings.userinfo_email:
        answer |= {"email": user.email, "user_type": user.user_type}
    return json_answer(answer)


def revoke(call: Call) -> Response:
    """`POST /pubapi/v1/tokens/revoke`, with a valid bearer token."""
    return _revoke(call.sandbox, call.request, call.token)


def revoke_by_secret(sandbox: World, request: Request) -> Response:
    """The same without a bearer token, with the key's secret (in one source only)."""
    return _revoke(sandbox, request, None)


def _revoke(sandbox: World, request: Request, bearer: Token | None) -> Response:
    form = request.form()
    settings = sandbox.settings
    if not form.get("token"):
        return refuse(refusals.MALFORMED, settings.error_shape)
    with sandbox.lock:
        target = sandbox.grants.find(form["token"])
        if target is not None and target.grant.domain != request.label:
            target = None
        if bearer is None and not _holds_secret(sandbox, target, form.get("client_secret", "")):
            return refusals.unauthorized(settings)
        if target is None:
            return Response(200)
        if bearer is not None and _stranger(bearer, target):
            return Response(403)
        if target.kind == "refresh" and not settings.revoke_accepts_refresh:
            return refuse(refusals.MALFORMED, settings.error_shape)
        sandbox.grants.revoke(target, sandbox.policy_of(target.grant.client_id))
        return Response(200)


def _holds_secret(sandbox: World, target: Token | None, secret: str) -> bool:
    key = sandbox.key(target.grant.client_id) if target else None
    if not secret or key is None or key.suspended or key.client_secret is None:
        return False
    return _secret_fits(key, secret)


def token_body(
    issued: Issued, policy: TokenPolicy, *, with_refresh: bool = True
) -> dict[str, object]:
    """The JSON of a token answer."""
    expires: int | str = issued.expires_in
    body: dict[str, object] = {
        "access_token": issued.access_token,
        "token_type": "bearer",
        "expires_in": str(expires) if policy.expires_in_as_string else expires,
    }
    if issued.refresh_token is not None and with_refresh:
        body["refresh_token"] = issued.refresh_token
    if policy.answer_scope:
        body["scope"] = " ".join(issued.scopes)
    return body


def _code(sandbox: World, request: Request, key: Key, form: dict[str, str]) -> Response:
    shape = sandbox.settings.error_shape
    if not form.get("code") or not form.get("redirect_uri"):
        return refuse(refusals.MALFORMED, shape)
    if not _secret_fits(key, form.get("client_secret")):
        return refuse(refusals.INVALID_CREDENTIALS, shape)
    spent = sandbox.grants.spend_code(form["code"], key, request.label, form["redirect_uri"])
    if spent is None:
        return refusals.invalid_code()
    scopes = exchanged_scopes(spent.scopes, form.get("scope"))
    policy = sandbox.policy_of(key.client_id)
    issued = sandbox.grants.grant(key, policy, request.label, spent.username, scopes, "code")
    return _answer(request, issued, policy)


def _password(sandbox: World, request: Request, key: Key, form: dict[str, str]) -> Response:
    shape = sandbox.settings.error_shape
    if form.get("grant_type") != "password":
        return refuse(refusals.GRANT_PASSWORD, shape)
    username, password = form.get("username", ""), form.get("password", "")
    if not username or not password:
        return refuse(refusals.MISSING_CREDENTIALS, shape)
    user = sandbox.check_password(request.label, username, password)
    if user is None or not _secret_fits(key, form.get("client_secret")):
        return refuse(refusals.INVALID_CREDENTIALS, shape)
    policy = sandbox.policy_of(key.client_id)
    scopes = form.get("scope", "").split()
    issued = sandbox.grants.grant(key, policy, request.label, user.username, scopes, "internal")
    return _answer(request, issued, policy)


def _refresh(sandbox: World, request: Request, key: Key, form: dict[str, str]) -> Response:
    shape = sandbox.settings.error_shape
    if not form.get("refresh_token"):
        return refuse(refusals.MALFORMED, shape)
    if not _secret_fits(key, form.get("client_secret")):
        return refuse(refusals.INVALID_CREDENTIALS, shape)
    policy = sandbox.policy_of(key.client_id)
    made = sandbox.grants.refresh(form["refresh_token"], key, policy, request.label)
    if made is None:
        return refusals.refused_refresh(sandbox.settings)
    issued, rotated = made
    return _answer(request, issued, policy, with_refresh=rotated or policy.refresh_repeats)


def _answer(
    request: Request, issued: Issued, policy: TokenPolicy, *, with_refresh: bool = True
) -> Response:
    request.token_id = issued.token_id
    body = token_body(issued, policy, with_refresh=with_refresh)
    return json_answer(body, 200, ("Cache-Control", "no-store"))


def _secret_fits(key: Key, secret: str | None) -> bool:
    if key.client_secret is None:
        return True
    return hmac.compare_digest((secret or "").encode(), key.client_secret.encode())


def _stranger(bearer: Token, target: Token) -> bool:
    mine, other = bearer.grant, target.grant
    return (mine.client_id, mine.username) != (other.client_id, other.username)


ROUTES = [
    *routes("", ("GET", "/v1/userinfo", "userinfo", userinfo)),
    *routes("", ("POST", "/v1/tokens/revoke", "revoke", revoke), streams=True),
]
