"""What the sandbox holds: plain records, no behaviour. `Sandbox` guards them with one lock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from .content import Content

FlowKind = Literal["code", "implicit", "internal"]
TokenKind = Literal["access", "refresh"]
ErrorShape = Literal[
    "errorCode",
    "error",
    "Errors",
    "inputErrors",
    "formErrors",
    "errors",
    "errorMessage",
    "ErrorCode",
    "responseCode",
    "message",
    "fault",
    "text",
    "html",
    "empty",
]
RefreshRefusal = Literal[
    "invalid_grant", "row", "fault", "ErrorCode", "errorMessage", "text", "empty", "no_token"
]
Style = Literal["modern", "legacy"]
TokenThrottle = Literal["409", "quota"]
KeyText = Literal["older", "newer"]
Statuses = Literal["live", "mocks"]
OverLimit = Literal["refused", "cut"]

# Fields that take one of a few values, whichever record they are in.
CHOICES: dict[str, tuple[object, ...]] = {
    "api_error_shape": get_args(ErrorShape),
    "count_over_limit": get_args(OverLimit),
    "error_shape": get_args(ErrorShape),
    "existing_folder_status": (403, 409),
    "flow": get_args(FlowKind),
    "locked_status": (403, 409, 423),
    "refused_refresh": get_args(RefreshRefusal),
    "refused_refresh_status": (400, 401, 403),
    "search_limit": (20, 100),
    "statuses": get_args(Statuses),
    "style": get_args(Style),
    "taken_destination_status": (200, 403, 409),
    "throttle_status": (403, 429),
    "token_throttle": get_args(TokenThrottle),
    "unknown_key_text": get_args(KeyText),
    "unknown_token_status": (401, 403),
}

Shelf = dict[str, dict[str, Any]]
"""What an area keeps for a domain: JSON by id, in the order in which it was made."""

DAY = 86_400
HOUR = 3_600
MB = 1024 * 1024
QPS_ALLOTTED = 2
QUOTA_ALLOTTED = 1_000


def fingerprint(token: str) -> str:
    """SHA-256 of a token in hexadecimal: how the control endpoints name it."""
    return hashlib.sha256(token.encode()).hexdigest()


class Choosing:
    """A record whose fields of `CHOICES` raise ValueError for any other value."""

    __slots__ = ()

    # Out of type checkers' sight: they would take any name for one that may be set.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            if name in CHOICES and value not in CHOICES[name]:
                known = ", ".join(map(str, CHOICES[name]))
                raise ValueError(f"{name} is one of {known}, not {value!r}")
            object.__setattr__(self, name, value)


@dataclass(slots=True)
class TokenPolicy(Choosing):
    """How tokens behave; for the whole sandbox, or for one key.

    `lifetime` is in seconds and counts for the modern style only: legacy tokens say
    `expires_in: -1`, never expire, and come without a refresh token. Whether Egnyte rotates
    refresh tokens is not known. A refresh brings a new one if it rotates, else the same one again
    if it `refresh_repeats`, else none.
    """

    style: Style = "modern"
    lifetime: int = 30 * DAY
    refresh_rotates: bool = True
    refresh_repeats: bool = False
    refresh_kills_access: bool = False
    expires_in_as_string: bool = False
    same_token: bool = False
    revoke_kills_siblings: bool = False
    answer_scope: bool = False


@dataclass(slots=True)
class Settings(Choosing):
    """How Egnyte behaves otherwise. Limits of None are not enforced, but calls are counted.

    `token_throttle` chooses between the documented 409 with Retry-After and the
    INTERNAL_ERROR row about a quota, which Egnyte's page documents too. The last group holds what
    Egnyte's own sources contradict each other about, or do not say.
    """

    qps_limit: int | None = None
    daily_limit: int | None = None
    throttle_status: int = 403
    retry_after: bool = True
    token_requests_per_hour: int | None = None
    internal_token_requests_per_hour: int | None = None
    token_throttle: TokenThrottle = "409"
    unknown_token_status: int = 403
    unknown_key_text: KeyText = "older"
    userinfo_email: bool = True
    send_referer: bool = True
    code_lifetime: float = 60.0
    error_shape: ErrorShape = "errorCode"
    api_error_shape: ErrorShape = "errorMessage"
    require_https_redirect: bool = False
    revoke_accepts_refresh: bool = True
    upload_limit: int = 100 * MB
    chunk_minimum: int = 10 * MB
    chunk_limit: int = 1024 * MB
    upload_lifetime: float = DAY
    list_limit: int = 1_000

    refused_refresh: RefreshRefusal = "invalid_grant"
    refused_refresh_status: int = 400
    existing_folder_status: int = 403
    taken_destination_status: int = 409
    locked_status: int = 423
    makes_parents: bool = True
    stores_empty_files: bool = True
    deletes_full_folders: bool = True
    single_chunk: bool = True
    count_over_limit: OverLimit = "refused"
    search_limit: int = 20
    filters_pages: bool = False
    values_as_text: bool = False
    statuses: Statuses = "live"


@dataclass(slots=True)
class User:
    """A person at one domain."""

    id: int
    username: str
    password: str = field(repr=False)
    first_name: str
    last_name: str
    email: str
    admin: bool
    user_type: str


@dataclass(slots=True)
class Domain:
    """A customer, by the first label of its host."""

    label: str
    users: dict[str, User] = field(default_factory=dict)


@dataclass(slots=True)
class Key(Choosing):
    """An API key. A key without a secret is one from before 2015."""

    client_id: str
    client_secret: str | None = field(repr=False)
    flow: FlowKind
    redirect_uri: str | None
    name: str
    policy: TokenPolicy | None = None
    suspended: bool = False


@dataclass(slots=True)
class Token:
    """An access or a refresh token. `expires_at` of None: never."""

    id: int
    value: str = field(repr=False)
    kind: TokenKind
    grant: Grant = field(repr=False)
    expires_at: float | None = None
    revoked: bool = False
    second: int = 0
    in_second: int = 0
    day_started: float = 0.0
    in_day: int = 0

    def alive(self, now: float) -> bool:
        """Whether Egnyte still honours it, at this time."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)


@dataclass(slots=True)
class Grant(Choosing):
    """One consent of one user to one key; tokens belong to it."""

    id: int
    domain: str
    username: str
    client_id: str
    scopes: tuple[str, ...]
    flow: FlowKind
    tokens: list[Token] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Code:
    """An authorization code, bound to what it was asked for with."""

    value: str = field(repr=False)
    domain: str
    username: str
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    expires_at: float
    spent: bool = False


@dataclass(slots=True)
class ChunkedUpload:
    """An upload in chunks, on its way. Chunks may be sent again, and in any order."""

    domain: str
    path: str
    username: str
    expires_at: float
    chunks: dict[int, Content] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token answer, as tests want it. `expires_in` is in seconds, -1 for never."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    grant_id: int
    token_id: int
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A token that Egnyte honours now."""

    value: str = field(repr=False)
    kind: TokenKind
    grant_id: int
    domain: str
    username: str
    client_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant with at least one live token."""

    id: int
    domain: str
    username: str
    client_id: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as it was answered: no query, no secret; tokens by their `Token.id`.

    `status` is 0 when no answer left (a reset or a hang); `fault` is the id of the
    rule that interfered.
    """

    method: str
    path: str
    domain: str
    endpoint: str
    status: int
    token_id: int | None
    at: float
    fault: int | None
