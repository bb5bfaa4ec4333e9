"""Connect and reconnect: turn a code, or another proof, into a stored account."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from .. import gateway, queue
from ..answers import LONG_SCOPES
from ..choices import EventKind, Flow, LeasedFor, Purpose, Release, Status
from ..conf import PROBE_DEADLINE, STATE_LIFETIME
from ..exceptions import (
    EgnyteError,
    LinkError,
    OAuthError,
    ResponseError,
    StateError,
    TokenConflictError,
    WrongAccountError,
)
from ..managers import NO_DEFAULT
from ..models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken, SpentState
from ..oauth import OAuthClient, TokenAnswer, UserInfo
from ..secret import Secret
from ..signals import account_connected
from . import agenda, grants, history, ledger
from .inserts import insert
from .obtain import due_on_failure, keep, obtain
from .transactions import alias, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.link")

TOLD_SCOPES: Final = frozenset(LONG_SCOPES.values())
# Tries after a conflict with a simultaneous link or refresh of the same account.
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A request to link. ``relink`` is the account that must get the new token.

    ``is_unsure``: Egnyte did not name the granted scopes, so ``scopes`` are the requested ones.
    """

    user: Any
    host: str
    scopes: Sequence[str]
    flow: str
    relink: int | None
    actor: str
    is_unsure: bool = False


class Overtaken(Exception):
    """The rows have changed since this link was decided: decide again."""


def spend_state(state: str) -> None:
    """Mark a state as used. ``StateError`` (spent) for a second callback, even a simultaneous one.

    ``InTransactionError`` inside a transaction, because a rollback would undo it.
    """
    refuse_in_transaction()
    digest = hashlib.sha256(state.encode()).hexdigest()
    ends = timezone.now() + timedelta(seconds=2 * STATE_LIFETIME)
    try:
        with transaction.atomic(using=alias(), durable=True):
            insert(SpentState(digest=digest, expires_at=ends))
    except IntegrityError:
        raise StateError("This callback was already used.", reason="spent") from None


def link_with_code(
    user: Any,
    *,
    code: Secret,
    host: str,
    redirect_uri: str,
    scopes: Sequence[str],
    flow: str = Flow.AUTHORIZATION_CODE,
    relink: int | None = None,
) -> EgnyteAccount:
    """Exchange a code and store the account. The state must be spent already.

    ``relink`` is the primary key of the account that must get the new token. Raises ``OAuthError``
    for a refused code, ``TooManyFailuresError``, ``WrongAccountError``, ``TokenConflictError``, or
    what the calls raise. A token obtained before the error is revoked.
    """
    request = LinkRequest(user, host, scopes, flow, relink, f"user:{user.pk}")
    return _obtain_and_link(
        request, lambda client: client.exchange_code(code, redirect_uri, scopes)
    )


def link_with_password(
    user: Any,
    *,
    username: str,
    password: Secret,
    host: str,
    scopes: Sequence[str],
    actor: str | None = None,
) -> EgnyteAccount:
    """Exchange an Egnyte username and password (internal applications), and store the account.

    The password is used once and not stored. ``actor`` is for the history; by default it is the
    user. Raises what ``link_with_code`` raises.
    """
    request = LinkRequest(user, host, scopes, Flow.PASSWORD, None, actor or f"user:{user.pk}")
    return _obtain_and_link(
        request, lambda client: client.password(username, password, scopes), username=username
    )


def link_with_token(
    user: Any, answer: TokenAnswer, *, host: str, scopes: Sequence[str], relink: int | None = None
) -> EgnyteAccount:
    """Store a token that a browser posted (implicit grant), after Egnyte has named its user.

    Such a token proves no identity (RFC 6749 section 10.16), so it does not replace a token of
    another flow: ``LinkError``. Each post is charged to the user, and counts as a failure if Egnyte
    does not accept the token. Otherwise it raises what ``link_with_code`` raises.
    """
    refuse_in_transaction()
    user_ref = str(user.pk)
    with ledger.charged(Purpose.IMPLICIT, host=host, user_ref=user_ref):
        token = keep(answer, client=gateway.oauth(host), user_ref=user_ref, flow=Flow.IMPLICIT)
        request = LinkRequest(
            user,
            host,
            _believed(answer.scopes or (), scopes),
            Flow.IMPLICIT,
            relink,
            actor=f"user:{user_ref}",
            is_unsure=not answer.scopes,
        )
        return prove_and_store(request, token)


def _believed(claimed: Sequence[str], asked: Sequence[str]) -> Sequence[str]:
    """The scopes that a browser claims for a token, limited to the requested ones.

    If no scope was requested, the request was for every API.
    """
    if not asked:
        return claimed
    return [scope for scope in asked if scope in claimed] or asked


def give_back_token(user: Any, answer: TokenAnswer, *, host: str) -> None:
    """Have a token revoked that a browser posted too late: Egnyte has issued it all the same.

    The token may be made up, so each post counts as a failure of the user:
    ``TooManyFailuresError`` after too many. ``ResponseError`` for a malformed token.
    """
    refuse_in_transaction()
    user_ref = str(user.pk)
    with ledger.charged(Purpose.IMPLICIT, host=host, user_ref=user_ref, failed=True):
        token = keep(answer, client=gateway.oauth(host), user_ref=user_ref, flow=Flow.IMPLICIT)
    grants.make_due(token.grant_id, Release.FAILED)
    queue.hurry("process_revocations")


def _obtain_and_link(
    request: LinkRequest, call: Callable[[OAuthClient], TokenAnswer], *, username: str = ""
) -> EgnyteAccount:
    named: list[Sequence[str] | None] = []

    def noting(client: OAuthClient) -> TokenAnswer:
        answer = call(client)
        named.append(answer.scopes)
        return answer

    try:
        token = obtain(
            noting,
            purpose=Purpose.LINK,
            host=request.host,
            user_ref=str(request.user.pk),
            username=username,
            flow=request.flow,
        )
    except (OAuthError, ResponseError) as error:
        # For a domain that no customer has, Egnyte may answer with a redirect.
        if isinstance(error, OAuthError) or error.status is not None:
            _record_failure(request, error)
        raise
    granted = named[0]
    if granted is None:
        return prove_and_store(replace(request, is_unsure=True), token)
    return prove_and_store(replace(request, scopes=granted), token)


def _record_failure(request: LinkRequest, error: OAuthError | ResponseError) -> None:
    AccountEvent.objects.create(
        kind=EventKind.LINK_FAILED,
        actor=request.actor,
        user_ref=str(request.user.pk),
        domain=request.host,
        # Without the username: people type their password into that field.
        reason=f"{type(error).__name__} {error.code or ''}".strip(),
    )


def prove_and_store(request: LinkRequest, token: EgnyteToken) -> EgnyteAccount:
    """Ask Egnyte for the token's user, and point the account to the token.

    If anything fails, the token's grant becomes due for revocation.
    """
    with due_on_failure(token):
        _refuse_borrowed(request, token)
        client, access_token = gateway.oauth(request.host), token.open_access_token()
        identity = client.userinfo(access_token)
        if request.is_unsure and request.scopes:
            request = replace(request, scopes=_granted(request, client, access_token))
        for tried in range(TRIES):
            store = partial(_store, request, token, identity, is_first=tried == 0)
            try:
                return in_short_transaction(store)
            except IntegrityError:
                # A simultaneous attempt created the same account, or the user's first default.
                continue
            except Overtaken:
                continue
        raise LinkError(
            "The user was deleted, or is connecting in another request.", host=request.host
        )


def _granted(request: LinkRequest, client: OAuthClient, access_token: Secret) -> Sequence[str]:
    """The scopes that the token really has, as far as Egnyte says.

    A scope that ``whoami`` may not know counts as granted. If Egnyte does not answer, or names none
    of the requested scopes, all of them count as granted. This never makes a link fail.
    """
    try:
        told = replace(client, deadline=PROBE_DEADLINE).scopes(access_token)
    except EgnyteError as error:
        logger.info(
            "Egnyte did not say which scopes a token has (%s). The app assumes all that it "
            "requested.",
            type(error).__name__,
            extra={"event": "scopes_not_told", "domain": request.host},
        )
        return request.scopes
    if not set(told) & set(request.scopes):
        return request.scopes
    kept = [each for each in request.scopes if each in told or each not in TOLD_SCOPES]
    return list(dict.fromkeys([*kept, *told]))


def _store(
    request: LinkRequest, token: EgnyteToken, identity: UserInfo, *, is_first: bool
) -> EgnyteAccount:
    if not is_first:
        _lock_grants(request, token, identity)
    mine = list(EgnyteAccount.objects.filter(user_id=request.user.pk).select_related("token"))
    account = next(
        (e for e in mine if (e.domain, e.egnyte_user_id) == (request.host, identity.id)), None
    )
    _refuse_replacement(request, account)
    token, left = _change_grants(token, account, is_first=is_first)
    _refuse_borrowed(request, token)
    becomes_default = not any(each.is_default and each.is_live for each in mine)
    if becomes_default:
        _clear_default([each for each in mine if each.is_default], account)
    values: dict[str, Any] = {
        "username": identity.username,
        "first_name": identity.first_name,
        "last_name": identity.last_name,
        "email": identity.email,
        "scopes": list(request.scopes),
        "flow": request.flow,
        "token": token,
        "status": Status.ACTIVE,
        "status_reason": "",
        "connected_at": timezone.now(),
        **agenda.validated(),
    }
    if becomes_default:
        values |= {"is_default": True, "default_of": str(request.user.pk)}
    created = account is None
    if account is None:
        account = EgnyteAccount(
            user_id=request.user.pk, domain=request.host, egnyte_user_id=identity.id, **values
        )
        account.save()
    else:
        _replace_token(account, values)
    if left:
        queue.hurry("process_revocations", using=alias())
    kind = EventKind.CONNECTED if created else EventKind.RECONNECTED
    history.record(kind, account, actor=request.actor)
    history.announce(account_connected, account, created=created, reason=request.flow)
    return account


def _lock_grants(request: LinkRequest, token: EgnyteToken, identity: UserInfo) -> None:
    """Lock all grants that this link may write, before it reads the account.

    Giving the account another token requires a lock on the grant of its old token. While this link
    has that lock, the account cannot change.
    """
    of_account = Q(
        accounts__user=request.user.pk,
        accounts__domain=request.host,
        accounts__egnyte_user_id=identity.id,
    )
    tokens = EgnyteToken.objects.filter(Q(pk=token.pk) | of_account)
    ids = set(tokens.values_list("grant_id", flat=True))
    twins = [grants.twins(each) for each in ids]
    grants.lock(EgnyteGrant.objects.filter(pk__in=ids.union(*twins)))


def _change_grants(
    token: EgnyteToken, account: EgnyteAccount | None, *, is_first: bool
) -> tuple[EgnyteToken, bool]:
    """Take the token's grant into use, and make the grant that the account leaves due.

    Returns the token to point to, and whether a grant was left. The two grants are locked in the
    order of their primary keys.
    """
    old = account.token if account is not None else None
    if account is None or old is None:
        return _take_into_use(token, is_first=is_first), False
    if old.grant_id < token.grant_id:
        left = _leave(account, token)
        return _take_into_use(token, is_first=is_first), left
    token = _take_into_use(token, is_first=is_first)
    return token, _leave(account, token)


def _leave(account: EgnyteAccount, token: EgnyteToken) -> bool:
    """Make the account's old grant due, unless it is also that of the new ``token``.

    If other accounts use it, the revoker will notice.
    """
    return grants.make_due_by(account, Release.RELINKED, spared=token.grant_id)


def _take_into_use(token: EgnyteToken, *, is_first: bool) -> EgnyteToken:
    """Take the token's grant into use. Returns the token to point to: the newest of the grant.

    While Egnyte was asked for the user, a refresh may have replaced ``token``, and another answer
    with it may have been stored. ``TokenConflictError`` if the revoker has begun to revoke it.
    """
    if grants.take_into_use(token):
        return token
    if is_first:
        # The rest locks further grants. Begin again and lock them all in order.
        raise Overtaken
    grants.join_token(token)
    usable = grants.free() | ~Q(leased_for=LeasedFor.REVOKE)
    grant = EgnyteGrant.objects.filter(usable, tokens=token.pk).select_for_update().first()
    newest = grants.newest_of(grant.pk, token.user_ref) if grant is not None else None
    if newest is None:
        raise TokenConflictError("This token is being revoked at this moment.", host=token.domain)
    kept = EgnyteGrant.objects.filter(pk=newest.grant_id)
    kept.write(release_at=None, reason="", revoke_attempts=0)
    return grants.copied(newest, token.user_ref)


def _refuse_borrowed(request: LinkRequest, token: EgnyteToken) -> None:
    """An implicit token must not give access to the refresh token of another link's grant."""
    if request.flow == Flow.IMPLICIT and token.refresh_fingerprint:
        raise LinkError(
            "This token belongs to an account that was connected with another flow.",
            host=request.host,
        )


def _refuse_replacement(request: LinkRequest, account: EgnyteAccount | None) -> None:
    if request.relink is not None and (account is None or account.pk != request.relink):
        raise WrongAccountError(
            "The token is that of another Egnyte account than the one to reconnect.",
            host=request.host,
        )
    if account is not None and account.is_live and request.flow == Flow.IMPLICIT != account.flow:
        # RFC 6749 section 10.16: anybody who holds a token for another client could have sent it.
        raise LinkError(
            "A token of the implicit flow may not replace one of another flow.", host=request.host
        )


def _clear_default(accounts: list[EgnyteAccount], account: EgnyteAccount | None) -> None:
    """Unmark a default account that is not live, so that the new account can replace it.

    Locks ``account``, which is written next, too.
    """
    if accounts:
        keys = [each.pk for each in accounts]
        grants.lock(EgnyteAccount.objects.filter(pk__in=[*keys, account.pk if account else 0]))
        EgnyteAccount.objects.filter(pk__in=keys).write(**NO_DEFAULT)


def _replace_token(account: EgnyteAccount, values: dict[str, Any]) -> None:
    """Point the account to the new token. ``Overtaken`` if it has another token by now."""
    # A revoked account has no token that would show that it was given to another user.
    rows = EgnyteAccount.objects.filter(user=account.user_id, token=account.token_id)
    if not rows.write_to(account, **values):
        raise Overtaken
