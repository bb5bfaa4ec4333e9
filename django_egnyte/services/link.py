"""Connect and relink: from a code, or another proof, to a stored account."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import gateway, queue
from ..choices import EventKind, Flow, Status
from ..conf import STATE_LIFETIME
from ..exceptions import (
    APIError,
    LinkError,
    OAuthError,
    RateLimitedError,
    ResponseError,
    StateError,
    UnavailableError,
    WrongAccountError,
)
from ..fields import seal
from ..models import AccountEvent, EgnyteAccount, PendingRevocation, SpentState
from ..oauth import OAuthClient, TokenAnswer, UserInfo
from ..secret import Secret
from ..signals import account_connected
from . import agenda, budget, history, outbox
from .obtain import Obtained, due_on_failure, keep, obtain
from .transactions import alias, in_short_transaction, refuse_in_transaction

# What a browser brought stands in the outbox from then on, token or not, and the host is of the
# user's choice, too: it need not even be there.
UNPROVED: Final = (APIError, RateLimitedError, ResponseError, UnavailableError)


def spend_state(state: str) -> None:
    """Use a state up; ``StateError`` (spent) for the second of two callbacks, even at once.

    ``InTransactionError`` inside a transaction, whose rollback would bring it back.
    """
    using = alias()
    refuse_in_transaction(using)
    digest = hashlib.sha256(state.encode()).hexdigest()
    ends = timezone.now() + timedelta(seconds=2 * STATE_LIFETIME)
    try:
        with transaction.atomic(using=using, durable=True):
            SpentState.objects.using(using).create(digest=digest, expires_at=ends)
    except IntegrityError:
        raise StateError("This callback was already used.", reason="spent") from None


@sensitive_variables()
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

    ``relink`` is the primary key of the account that this must replace the token of. Raises
    ``OAuthError`` for a refused code, ``TooManyFailuresError``, ``WrongAccountError``,
    ``TokenConflictError``, or what the calls raise; a token obtained before that is revoked.
    """
    return _link(
        user,
        lambda client: client.exchange_code(code.reveal(), redirect_uri, scopes),
        host=host,
        scopes=scopes,
        flow=flow,
        relink=relink,
    )


@sensitive_variables()
def link_with_password(
    user: Any,
    *,
    username: str,
    password: Secret,
    host: str,
    scopes: Sequence[str],
    actor: str | None = None,
) -> EgnyteAccount:
    """Trade an Egnyte username and password for a token (internal applications), and store it.

    The password is used once and kept nowhere. ``actor`` stands in the history; by default it is
    the user. Raises as ``link_with_code``.
    """
    with budget.attempt(str(user.pk), host, username):
        return _link(
            user,
            lambda client: client.password(username, password.reveal(), scopes),
            host=host,
            scopes=scopes,
            flow=Flow.PASSWORD,
            relink=None,
            username=username,
            actor=actor,
        )


@sensitive_variables()
def link_with_token(
    user: Any, answer: TokenAnswer, *, host: str, scopes: Sequence[str], relink: int | None = None
) -> EgnyteAccount:
    """Store a token that a browser brought (implicit grant), once Egnyte says whose it is.

    It proves no identity (RFC 6749 section 10.16), so it replaces no token of another flow:
    ``LinkError``. Each that Egnyte does not vouch for, whatever the reason, uses up one of the
    user's attempts. Otherwise raises as ``link_with_code``.
    """
    refuse_in_transaction()
    user_ref = str(user.pk)
    with budget.attempt(user_ref, failures=UNPROVED):
        obtained = keep(answer, client=gateway.oauth(host), user_ref=user_ref, reason=Flow.IMPLICIT)
        return prove_and_store(
            user, obtained, host=host, scopes=scopes, flow=Flow.IMPLICIT, relink=relink
        )


@sensitive_variables()
def give_back_token(user: Any, answer: TokenAnswer, *, host: str) -> None:
    """Let a token that a browser brought too late be revoked: Egnyte has issued it all the same.

    Anybody could bring anything, so each uses up one of the user's attempts:
    ``TooManyFailuresError`` when none is left. ``ResponseError`` for a malformed token.
    """
    refuse_in_transaction()
    user_ref = str(user.pk)
    budget.use_attempt(user_ref)
    obtained = keep(answer, client=gateway.oauth(host), user_ref=user_ref, reason=Flow.IMPLICIT)
    outbox.make_due(obtained.row, using=alias())
    queue.hurry("process_revocations")


@sensitive_variables()
def _link(
    user: Any,
    call: Callable[[OAuthClient], TokenAnswer],
    *,
    host: str,
    scopes: Sequence[str],
    flow: str,
    relink: int | None,
    username: str = "",
    actor: str | None = None,
) -> EgnyteAccount:
    user_ref = str(user.pk)
    budget.refuse_after_failures(user_ref)
    try:
        obtained = obtain(call, host=host, user_ref=user_ref, reason=flow)
    except (OAuthError, ResponseError) as error:
        # A name that no customer has may be answered with a redirect.
        if isinstance(error, OAuthError) or error.status is not None:
            AccountEvent.objects.using(alias()).create(
                kind=EventKind.LINK_FAILED,
                actor=actor or f"user:{user_ref}",
                user_ref=user_ref,
                domain=host,
                username=username,
                reason=f"{type(error).__name__} {error.code or ''}".strip(),
            )
        raise
    return prove_and_store(
        user, obtained, host=host, scopes=scopes, flow=flow, relink=relink, actor=actor
    )


@sensitive_variables()
def prove_and_store(
    user: Any,
    obtained: Obtained,
    *,
    host: str,
    scopes: Sequence[str],
    flow: str,
    relink: int | None,
    actor: str | None = None,
) -> EgnyteAccount:
    """Ask Egnyte whose token this is, then store it; on any failure its row becomes due."""
    with due_on_failure(obtained.row):
        identity = gateway.oauth(host).userinfo(obtained.answer.access_token)
        granted = obtained.answer.scopes

        def store() -> EgnyteAccount:
            return _store(
                user,
                obtained,
                identity,
                scopes=list(scopes if granted is None else granted),
                flow=flow,
                relink=relink,
                actor=actor or f"user:{user.pk}",
            )

        try:
            return in_short_transaction(store)
        except IntegrityError:
            # Two attempts made the same new account at once: now there is one to relink.
            pass
        try:
            return in_short_transaction(store)
        except IntegrityError:
            raise LinkError("The user of this site is gone.", host=host) from None


@sensitive_variables()
def _store(
    user: Any,
    obtained: Obtained,
    identity: UserInfo,
    *,
    scopes: list[str],
    flow: str,
    relink: int | None,
    actor: str,
) -> EgnyteAccount:
    using = alias()
    row, grants = outbox.own_row(obtained.row, using)
    accounts = _lock_accounts(user, row, grants, using)
    mine = [each for each in accounts if each.user_id == user.pk]
    account = next(
        (e for e in mine if (e.domain, e.egnyte_user_id) == (row.domain, identity.id)), None
    )
    if relink is not None and (account is None or account.pk != relink):
        raise WrongAccountError(
            "Egnyte answered for another account than the one to reconnect.", host=row.domain
        )
    if account is not None and account.is_live and flow == Flow.IMPLICIT != account.flow:
        # RFC 6749 section 10.16: whoever holds a token for another client could have sent it.
        raise LinkError("An implicit token replaces no token of another flow.", host=row.domain)

    created = account is None
    if account is None:
        account = EgnyteAccount(
            user_id=user.pk,
            domain=row.domain,
            egnyte_user_id=identity.id,
            seal_id=row.seal_id,
            token_version=0,
            is_default=not any(each.is_default for each in mine),
        )
    same_token = not created and account.token_fingerprint == row.fingerprint
    sharing = _sharing(row, grants, accounts)
    grant_id = sharing[0].grant_id if sharing else row.grant_id
    names = grants | {each.grant_id for each in sharing}
    outbox.join_grants(names, grant_id, using=using)
    for each in accounts:
        if each.grant_id in names:
            each.grant_id = grant_id
    superseded = None
    known = account.refresh_fingerprint
    # The same access token with another refresh token beside it: the old one lives, too.
    swapped = same_token and bool(known and row.refresh_fingerprint not in ("", known))
    if swapped or not (created or same_token):
        stays = account.grant_id == grant_id and not swapped
        superseded = outbox.put_held(
            account, using=using, reason="relinked", grant_stays_held=stays
        )
    now = timezone.now()
    values: dict[str, Any] = {
        "username": identity.username,
        "first_name": identity.first_name,
        "last_name": identity.last_name,
        "email": identity.email,
        "scopes": scopes,
        "flow": flow,
        "token_fingerprint": row.fingerprint,
        "refresh_fingerprint": row.refresh_fingerprint,
        "grant_id": grant_id,
        "expires_at": row.expires_at,
        "token_version": account.token_version + 1,
        "status": Status.ACTIVE,
        "status_reason": "",
        "connected_at": now,
        "last_validated_at": now,
        "attempts": 0,
        "lease": "",
        "leased_until": None,
        **agenda.after_validation(now),
        **agenda.refresh_times(row.expires_at, bool(row.refresh_fingerprint), now),
    }
    for name in ("access_token", "refresh_token"):
        plain = getattr(obtained.answer, name)
        values[name] = seal(plain, account.seal_context(name))
    if same_token and not row.refresh_fingerprint:
        # The same token again, without the refresh token beside it, which lives all the same.
        for name in ("refresh_token", "refresh_fingerprint", "next_refresh_at"):
            del values[name]
    if known and row.refresh_fingerprint in (known, "" if same_token else known):
        # Whoever is refreshing that token at this moment goes on alone.
        del values["lease"], values["leased_until"]
    for name, value in values.items():
        setattr(account, name, value)
    if created:
        account.save(using=using)
    else:
        EgnyteAccount.objects.using(using).filter(pk=account.pk).write(**values)
    PendingRevocation.objects.using(using).filter(pk=row.pk).delete()
    history.record(
        EventKind.CONNECTED if created else EventKind.RECONNECTED,
        account,
        using=using,
        actor=actor,
    )
    history.announce(account_connected, account, using=using, created=created, reason=flow)
    if superseded is not None:
        queue.hurry("process_revocations", using=using)
    return account


def _lock_accounts(
    user: Any, row: PendingRevocation, grants: set[str], using: str
) -> list[EgnyteAccount]:
    """Lock the user's accounts, and whoever else holds this token, its refresh token or grant."""
    which = Q(user_id=user.pk) | Q(domain=row.domain, token_fingerprint=row.fingerprint)
    which |= Q(grant_id__in=grants)
    if row.refresh_fingerprint:
        which |= Q(domain=row.domain, refresh_fingerprint=row.refresh_fingerprint)
    rows = EgnyteAccount.objects.using(using).filter(which)
    return list(rows.order_by("pk").select_for_update())


def _sharing(
    row: PendingRevocation, grants: set[str], accounts: list[EgnyteAccount]
) -> list[EgnyteAccount]:
    """Who holds a token of the same grant: an equal token, or an equal refresh token, says so.

    It may also stand in the outbox under an account's grant, brought by a refresh that was killed
    before it could store it, or superseded.
    """
    return [
        each
        for each in accounts
        if each.domain == row.domain
        and each.is_live
        and (
            each.grant_id in grants
            or each.token_fingerprint == row.fingerprint
            or (row.refresh_fingerprint and each.refresh_fingerprint == row.refresh_fingerprint)
        )
    ]
