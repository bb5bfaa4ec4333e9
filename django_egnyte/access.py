"""The client of a user or an account: the API client connected to the services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from . import callers, gateway
from .api import Connection, Credentials, EgnyteClient, Source
from .api.steps import Step, Steps
from .chosen import chosen_account
from .conf import conf
from .exceptions import (
    EgnyteError,
    InvalidDomainError,
    InvalidGrantError,
    NotLinkedError,
    TokenExpiredError,
    TokenUse,
    UnauthorizedError,
)
from .models import EgnyteAccount
from .scopes import sign
from .services.refresh import can_refresh, refreshing, request_refresh
from .services.transactions import in_callers_transaction
from .services.validate import note_use
from .services.verdict import suspect
from .signals import api_called

_T = TypeVar("_T")

logger = logging.getLogger("django_egnyte.api")

TOLD_KEY = "egnyte_told"


class _OnDjangosThread:
    """Runs queries in the thread of the request's synchronous code, as Django requires."""

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        return await sync_to_async(function, thread_sensitive=True)(*args)


class AccountConnection(_OnDjangosThread, Connection):
    """The connection of an ``EgnyteClient``: one account and its token."""

    __slots__ = (
        *("_replaced", "_unsettled", "account", "base_url", "host", "max_retries"),
        *("max_throttle_wait", "pace_calls", "timeout"),
    )

    def __init__(self, account: EgnyteAccount) -> None:
        self.account = account
        self._unsettled = False
        self._replaced: int | None = None
        self.host = account.domain
        # If the settings no longer allow the host, only calls fail; bool() and pages do not.
        try:
            self.base_url = gateway.base_url(account.domain)
        except InvalidDomainError:
            self.base_url = ""
        self.timeout = conf.timeout
        self.max_retries = conf.max_retries
        self.max_throttle_wait = conf.max_throttle_wait
        self.pace_calls = conf.pace_calls

    def credentials(self) -> Credentials | Steps[Credentials]:
        """The token to use, refreshed first if it has expired.

        Raises ``NotLinkedError`` for an account that is not live, ``InvalidDomainError`` if the
        settings no longer allow its host, ``DecryptionError``, ``TokenExpiredError`` if only a
        worker may refresh now, or what a refresh raises.
        """
        self._unsettled = False
        account = self.account
        if not account.is_live or account.pk is None:
            raise NotLinkedError("This Egnyte account is not connected.", host=self.host)
        self.base_url = self.base_url or gateway.base_url(self.host)
        token = account.known_token
        if token is None:
            # The instance is stale: its token was deleted or replaced long ago.
            token = self._reread().token
        if token is not None and token.is_expired and token.refresh_fingerprint:
            return self._refreshed()
        return self._current()

    def rejected(
        self, used: Credentials, *, acting: bool
    ) -> Credentials | Steps[Credentials | None] | None:
        """After a 401: return a newer token, refresh, or mark the account as suspect."""
        current = self._reread()
        if current.token is None:
            return None
        if current.token_id != used.token_id:
            return self._current()
        # Refresh once in a call: not again if the new token is refused too.
        if can_refresh(current.token) and not acting and used.token_id != self._replaced:
            return self._refreshed()
        self._suspect(acting=acting)
        return None

    def _refreshed(self) -> Steps[Credentials]:
        yield Step("db", self._refuse_in_transaction)
        try:
            self.account = yield Step("whole", partial(refreshing, self.account, actor="client"))
        except InvalidGrantError:
            # Egnyte refuses the refresh token. A worker checks the access token.
            yield Step("db", partial(self._suspect, acting=False))
            raise UnauthorizedError(
                "Egnyte refuses the refresh token, and the access token has expired or is refused.",
                host=self.host,
            ) from None
        self._replaced = self.account.token_id
        current: Credentials = yield Step("db", self._current)
        return current

    def _reread(self) -> EgnyteAccount:
        current = EgnyteAccount.objects.with_token().filter(pk=self.account.pk).first()
        if current is None:
            raise NotLinkedError("This Egnyte account is not connected.", host=self.host)
        self.account = current
        return current

    def _current(self) -> Credentials:
        account = self.account
        if account.token_id is None:
            raise NotLinkedError("This Egnyte account is not connected.", host=self.host)
        return Credentials(account.opened_access_token(), account.token_id)

    def _suspect(self, *, acting: bool) -> None:
        self._note_transaction()
        _suspect(self.account, acting=acting)

    def accepted(self, used: Credentials) -> None:
        note_use(self.account)

    def observed(
        self, method: str, status: int | None, seconds: float, request_id: str | None
    ) -> None:
        account = self.account
        logger.debug(
            "%s at %s: %s in %.3f s",
            method,
            self.host,
            status or "no answer",
            seconds,
            extra={
                "event": "api_called",
                "account_id": account.pk,
                "domain": self.host,
                "duration": seconds,
                "request_id": request_id,
            },
        )
        if api_called.receivers:
            api_called.send_robust(
                EgnyteAccount,
                account=account,
                method=method,
                status=status,
                duration=seconds,
                request_id=request_id,
            )

    def _refuse_in_transaction(self) -> None:
        if self._note_transaction():
            request_refresh(self.account)
            raise TokenExpiredError(
                "The token has expired, and it cannot be refreshed inside a transaction.",
                host=self.host,
                hint="Try again soon: a worker refreshes it.",
            )

    def _note_transaction(self) -> bool:
        """Whether the caller's rollback could undo what is written now.

        ``failed`` adds the answer to the error.
        """
        self._unsettled = in_callers_transaction()
        return self._unsettled

    def failed(self, error: EgnyteError, *, acting: bool) -> None:
        # With EGNYTE_BASE_URL the request goes to another address than the account's host.
        error.host = self.host
        account = self.account
        error.used = TokenUse(
            account_id=account.pk,
            user_id=account.user_id,
            token_id=account.token_id or 0,
            acting=acting,
            unsettled=self._unsettled,
        )


class LateConnection(_OnDjangosThread, Source):
    """Finds the account at the first call, and then keeps its connection."""

    __slots__ = ("_finder", "_found", "_resolved")

    def __init__(self, finder: Callable[[], AccountConnection | None]) -> None:
        self._finder = finder
        self._found: AccountConnection | None = None
        self._resolved = False

    def _find(self) -> AccountConnection | None:
        return self._finder()

    @property
    def host(self) -> str:  # type: ignore[override]
        if not self._resolved:
            return "not used yet"
        return "not connected" if self._found is None else self._found.host

    def resolve(self) -> AccountConnection | None:
        if not self._resolved:
            self._found = self._find()
            self._resolved = True
        return self._found

    def connection(self) -> Connection:
        found = self.resolve()
        if found is None:
            raise NotLinkedError("The user has no connected Egnyte account.")
        return found


class _ConnectionOfUser(LateConnection):
    """The connection of a request's user."""

    __slots__ = ("_request",)

    def __init__(self, request: HttpRequest) -> None:
        # Each request of the site pays for this, so nothing is set that is not used before it is.
        self._request = request
        self._resolved = False

    def _find(self) -> AccountConnection | None:
        account = chosen_account(self._request.user)
        if account is None:
            return None
        if account.is_live:
            return AccountConnection(account)
        tell_ended(self._request, account)
        return None


class LinkedClient(EgnyteClient):
    """The client of one account: what ``account.client`` and ``request.egnyte`` are."""

    __slots__ = ()

    @property
    def account(self) -> EgnyteAccount | None:
        """The account whose token is used. For ``request.egnyte`` the first use takes one query."""
        source = self._source
        found = source.resolve() if isinstance(source, LateConnection) else source
        return found.account if isinstance(found, AccountConnection) else None

    def __bool__(self) -> bool:
        account = self.account
        return account is not None and account.is_live


class RequestClient(LinkedClient):
    """``request.egnyte``: finds the account of ``request.user`` at first use."""

    __slots__ = ("_request",)

    def __init__(self, request: HttpRequest) -> None:
        # As EgnyteClient does, without the call: each request of the site pays for this.
        self._source = _ConnectionOfUser(request)
        self._acting = None
        self._rate_headers = None
        self._request = request

    def for_account(self, account: EgnyteAccount) -> LinkedClient:
        """The client of another account of the same user. ``NotLinkedError`` for anybody else's.

        In a coroutine, where ``request.user`` must not be read, the first call raises it instead.
        """

        def find() -> AccountConnection:
            user = self._request.user
            if not user.is_authenticated or str(account.user_id) != str(user.pk):
                raise NotLinkedError("This is not an account of this user.")
            return AccountConnection(account)

        return LinkedClient(LateConnection(find) if _in_coroutine() else find())

    def resolve(self) -> None:
        """Find the account, unless it has been found."""
        _ = self.account

    async def aresolve(self) -> RequestClient:
        """Like ``resolve()``. Returns this client, whose ``account`` then needs no query."""
        await sync_to_async(self.resolve, thread_sensitive=True)()
        return self


def _in_coroutine() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class EgnyteHttpRequest(HttpRequest):
    """For annotations: a request below ``EgnyteMiddleware``. No request is an instance of it."""

    egnyte: RequestClient
    aegnyte: Callable[[], Coroutine[Any, Any, RequestClient]]
    """The same client, with its account already found."""


def _suspect(account: EgnyteAccount, *, acting: bool) -> None:
    reason = gettext_noop("Egnyte answered 401")
    suspect(account, reason=reason, actor="client", acting=acting)


def client_of(account: EgnyteAccount) -> LinkedClient:
    """A client that uses this account's token. Makes no query."""
    return LinkedClient(AccountConnection(account))


def settle_again(error: EgnyteError) -> None:
    """Write the outcome of a refused token again, because a rollback undid it."""
    used = error.used
    if used is None or not used.unsettled or in_callers_transaction():
        return
    accounts = EgnyteAccount.objects.live().filter(pk=used.account_id, token=used.token_id)
    account = accounts.first()
    if account is None:
        return
    if isinstance(error, TokenExpiredError):
        request_refresh(account)
    else:
        _suspect(account, acting=used.acting)


def tell_ended(request: HttpRequest, account: EgnyteAccount) -> None:
    """Tell the user on the next page, once, that the account has ended and must be reconnected."""
    session = getattr(request, "session", None)
    mark = f"{account.pk}:{account.connected_at.timestamp()}"
    if session is None or session.get(TOLD_KEY) == mark:
        return
    session[TOLD_KEY] = mark
    messages.warning(
        request,
        _("Your connection to %(domain)s has ended. Please reconnect.")
        % {"domain": account.domain},
        fail_silently=True,
    )


def connect_url(
    *, next_path: str = "", domain: str = "", scopes: Sequence[str] = (), user: Any = None
) -> str:
    """The URL of ``egnyte:connect`` that returns to ``next_path``, with the domain filled in.

    ``scopes`` are requested in addition to the site's own. They are signed for ``user`` and for a
    day, so that nobody else can make a link that requests more. ``ValueError`` for scopes without
    a user.
    """
    query = {"next": next_path, "domain": domain}
    if scopes:
        if user is None:
            raise ValueError("connect_url() signs the scopes for a user: pass it a user.")
        query["scopes"] = sign(user, scopes)
    query = {name: value for name, value in query.items() if value}
    url = reverse("egnyte:connect")
    return f"{url}?{urlencode(query)}" if query else url


def to_connect(
    request: HttpRequest, *, domain: str = "", scopes: Sequence[str] = ()
) -> HttpResponse:
    """Redirect the user of a page to connect and back. Tell a script where to send its user.

    A script gets a 401 with ``connect_url`` in JSON, and htmx also a header that makes it go there.
    If scopes are needed, an anonymous user logs in first, because scopes are signed for a user.
    """
    next_path = callers.page_of(request)
    as_page = callers.wants_page(request) and not callers.is_htmx(request)
    if not request.user.is_authenticated:
        if as_page and scopes and next_path:
            return redirect_to_login(next_path)
        scopes = ()
    url = connect_url(next_path=next_path, domain=domain, scopes=scopes, user=request.user)
    response: HttpResponse
    if as_page:
        response = HttpResponseRedirect(url)
    else:
        response = JsonResponse({"error": "egnyte_not_linked", "connect_url": url}, status=401)
        if callers.is_htmx(request):
            response.headers["HX-Redirect"] = url
    patch_vary_headers(response, callers.VARY)
    add_never_cache_headers(response)
    return response
