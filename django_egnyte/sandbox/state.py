"""The records of the sandbox. They have no behaviour; the lock of `World` protects them."""

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

# The allowed values of fields, in any record.
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
"""The stored objects of an area for a domain: JSON by id, in the order of creation."""

DAY = 86_400
HOUR = 3_600
MB = 1024 * 1024
QPS_ALLOTTED = 2
QUOTA_ALLOTTED = 1_000


def fingerprint(token: str) -> str:
    """The SHA-256 of a token in hexadecimal, which identifies it in the control API."""
    return hashlib.sha256(token.encode()).hexdigest()


class Choosing:
    """A record that raises ValueError for a value that `CHOICES` does not allow."""

    __slots__ = ()

    # Hidden from type checkers, which would otherwise allow any attribute to be set.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            if name in CHOICES and value not in CHOICES[name]:
                known = ", ".join(map(str, CHOICES[name]))
                raise ValueError(f"{name} is one of {known}, not {value!r}")
            object.__setattr__(self, name, value)


@dataclass(slots=True)
class TokenPolicy(Choosing):
    """How tokens behave, for the whole sandbox or for one key.

    `lifetime` is in seconds, and applies only to the modern style. Legacy tokens have
    `expires_in: -1`, never expire, and have no refresh token. It is not known whether Egnyte
    rotates refresh tokens. With `refresh_rotates`, a refresh returns a new one; otherwise, with
    `refresh_repeats`, the same one; otherwise none.
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
    """Other behaviour of the sandbox. Limits of None are not enforced, but calls are counted.

    `token_throttle` chooses between two documented answers: the 409 with Retry-After, and the
    INTERNAL_ERROR row about a quota. The last group has behaviour about which Egnyte's own sources
    disagree, or which they do not document.
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
    """A user of one domain."""

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
    """An API key. Keys from before 2015 have no secret."""

    client_id: str
    client_secret: str | None = field(repr=False)
    flow: FlowKind
    redirect_uri: str | None
    name: str
    policy: TokenPolicy | None = None
    suspended: bool = False


@dataclass(slots=True)
class Token:
    """An access or a refresh token. It never expires if `expires_at` is None."""

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
        """Whether the token is valid at this time."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)


@dataclass(slots=True)
class Grant(Choosing):
    """One consent of one user to one key, with its tokens."""

    id: int
    domain: str
    username: str
    client_id: str
    scopes: tuple[str, ...]
    flow: FlowKind
    tokens: list[Token] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Code:
    """An authorization code with the parameters of its request."""

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
    """An unfinished upload in chunks. Chunks may be repeated, and sent in any order."""

    domain: str
    path: str
    username: str
    expires_at: float
    chunks: dict[int, Content] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token answer for tests. `expires_in` is in seconds; -1 means never."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    grant_id: int
    token_id: int
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A token that is valid now."""

    value: str = field(repr=False)
    kind: TokenKind
    grant_id: int
    domain: str
    username: str
    client_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant with at least one valid token."""

    id: int
    domain: str
    username: str
    client_id: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One answered request, without query and secrets. Tokens are named by `Token.id`.

    `status` is 0 if no answer was sent (a reset or a hang). `fault` is the id of the rule that was
    applied.
    """

    method: str
    path: str
    domain: str
    endpoint: str
    status: int
    token_id: int | None
    at: float
    fault: int | None
