"""`World`: the state of the sandbox, without the handling of requests."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from . import seed
from .content import Content
from .faults import Faults
from .grants import GrantBook
from .limits import TokenRequests
from .state import (
    ChunkedUpload,
    Domain,
    FlowKind,
    Issued,
    Key,
    LiveGrant,
    LiveToken,
    LoggedRequest,
    Settings,
    Shelf,
    TokenPolicy,
    User,
    fingerprint,
)
from .tree import Change, Tree, require_place

_T = TypeVar("_T")

LOG_LENGTH = 20_000
Watcher = Callable[["World", str, Change], None]


class World:
    """Domains, users, keys, grants and files, with one lock. Every method is thread-safe.

    `settings`, `policy` and `clock_offset` (seconds added to the real time) may be changed at any
    time. Methods raise KeyError for an unknown domain, user, key or token.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        policy: TokenPolicy | None = None,
        seeded: bool = True,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        """`watchers` are called for each change of a domain's files."""
        self.lock = threading.RLock()
        self._watchers = tuple(watchers)
        self._seeded = seeded
        self.faults = Faults()
        self._clear()
        self.settings = settings or Settings()
        self.policy = policy or TokenPolicy()

    def reset(self) -> None:
        """Restore the initial state, including settings, faults, log, clock and tokens."""
        with self.lock:
            self.faults.clear()
            self._clear()

    def _clear(self) -> None:
        self.settings = Settings()
        self.policy = TokenPolicy()
        self.clock_offset = 0.0
        self.domains: dict[str, Domain] = {}
        self.uploads: dict[str, ChunkedUpload] = {}
        self.token_requests = TokenRequests()
        self.grants = GrantBook(self.now)
        self._keys: dict[str, Key] = {}
        self._trees: dict[str, Tree] = {}
        self.started = self.now()
        self._shelves: defaultdict[tuple[str, str], Shelf] = defaultdict(dict)
        self._log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self._counts: Counter[str] = Counter()
        if self._seeded:
            self._seed()

    def _seed(self) -> None:
        for label in dict.fromkeys(person.domain for person in seed.PEOPLE):
            self.add_domain(label)
        for person in seed.PEOPLE:
            self.add_user(
                person.domain,
                person.username,
                person.password,
                first_name=person.first_name,
                last_name=person.last_name,
                id=person.id,
                admin=person.admin,
            )
        for name, secret, flow in seed.KEYS:
            self.add_key(name, secret, flow=flow)
        for label, path in seed.FOLDERS:
            self.add_folder(label, path)
        for label, username, path, data in seed.FILES:
            self.add_file(label, path, data, username=username)

    def _changed(self, label: str, change: Change) -> None:
        for watcher in self._watchers:
            watcher(self, label, change)

    # The world

    def add_domain(self, label: str) -> Domain:
        """Add a customer by its label, `acme`."""
        with self.lock:
            domain = self.domains[label] = Domain(label)
            self._trees[label] = Tree(self.now(), partial(self._changed, label))
            return domain

    def add_user(
        self,
        domain: str,
        username: str,
        password: str = "demo-password-1",  # noqa: S107
        *,
        first_name: str = "",
        last_name: str = "",
        email: str | None = None,
        id: int | None = None,
        admin: bool = False,
        user_type: str = "power",
    ) -> User:
        """Add a user, with a private folder."""
        with self.lock:
            users = self._domain(domain).users
            number = max((u.id for u in users.values()), default=120) + 1 if id is None else id
            address = f"{username}@{domain}.example" if email is None else email
            kind = "admin" if admin else user_type
            user = User(number, username, password, first_name, last_name, address, admin, kind)
            users[username] = user
            home = f"/Private/{username}"
            if self._trees[domain].find(home) is None:
                self._trees[domain].add_folder(home, None, self.now())
            return user

    def add_key(
        self,
        client_id: str,
        client_secret: str | None = None,
        *,
        flow: FlowKind = "code",
        redirect_uri: str | None = None,
        name: str = "Sandbox application",
        policy: TokenPolicy | None = None,
    ) -> Key:
        """Register an API key. `redirect_uri` None allows any. `policy` None is the sandbox's."""
        with self.lock:
            key = Key(client_id, client_secret, flow, redirect_uri, name, policy)
            self._keys[client_id] = key
            return key

    def key(self, client_id: str) -> Key | None:
        """A registered key, even if suspended. None if unknown."""
        return self._keys.get(client_id)

    def policy_of(self, client_id: str) -> TokenPolicy:
        """The policy for a key."""
        return self._key(client_id).policy or self.policy

    def suspend_key(self, client_id: str) -> None:
        """Suspend a key. Until `resume_key`, its tokens get a 401, as revoked tokens do."""
        with self.lock:
            self._key(client_id).suspended = True

    def resume_key(self, client_id: str) -> None:
        """Undo `suspend_key`."""
        with self.lock:
            self._key(client_id).suspended = False

    def user(self, domain: str, username: str) -> User:
        """A user of a domain."""
        return _found("user", username, self._domain(domain).users)

    def check_password(self, domain: str, username: str, password: str) -> User | None:
        """The user if the password is right, else None."""
        with self.lock:
            user = self._domain(domain).users.get(username)
            return user if user is not None and user.password == password else None

    def set_password(self, domain: str, username: str, password: str) -> int:
        """Change a password, which revokes all tokens of the user. Returns how many."""
        with self.lock:
            self.user(domain, username).password = password
            return self.grants.kill_user(domain, username)

    def remove_user(self, domain: str, username: str) -> int:
        """Delete a user and revoke all their tokens. Returns how many."""
        with self.lock:
            self.user(domain, username)
            del self.domains[domain].users[username]
            return self.grants.kill_user(domain, username)

    # Files

    def tree(self, domain: str) -> Tree:
        """The files of a domain. Hold `lock` while you use it."""
        return _found("domain", domain, self._trees)

    def add_folder(self, domain: str, path: str) -> None:
        """Create a folder and its parents. Raises TreeError if it exists.

        ValueError for a path that is not below `/Shared` or `/Private`.
        """
        require_place(path)
        with self.lock:
            self.tree(domain).add_folder(path, None, self.now())

    def add_file(self, domain: str, path: str, content: bytes, *, username: str = "jsmith") -> None:
        """Store a version of a file, and create its parents.

        Raises TreeError if `username` may not write there, and ValueError for a path that is not
        below `/Shared` or `/Private`.
        """
        self._store(domain, path, Content.of(content), username)

    def add_synthetic_file(
        self, domain: str, path: str, size: int, *, username: str = "jsmith"
    ) -> None:
        """Store a file of `size` generated bytes, which take no memory."""
        self._store(domain, path, Content.synthetic(size), username)

    def read_file(self, domain: str, path: str) -> bytes:
        """The newest version of a file. Raises TreeError 404 if there is none."""
        with self.lock:
            content = self.tree(domain).get(path, None).versions[-1].content
        return b"".join(content.read())

    def _store(self, domain: str, path: str, content: Content, username: str) -> None:
        require_place(path)
        with self.lock:
            owner = self.user(domain, username)
            self.tree(domain).put(path, content, owner, self.now())

    def shelf(self, domain: str, name: str) -> Shelf:
        """The stored objects of an area for a domain. Hold `lock` while you use it."""
        return self._shelves[domain, name]

    # Time

    def now(self) -> float:
        """Seconds since the epoch, by the sandbox's clock."""
        return time.time() + self.clock_offset

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        with self.lock:
            self.clock_offset += seconds

    # Tokens

    def issue(
        self,
        domain: str,
        username: str,
        *,
        scopes: Iterable[str] = (),
        client_id: str = "sandbox-code-key",
        flow: FlowKind = "code",
    ) -> Issued:
        """Issue the tokens of a new grant, without a flow. No scopes means every API."""
        with self.lock:
            self.user(domain, username)
            key, policy = self._key(client_id), self.policy_of(client_id)
            return self.grants.grant(key, policy, domain, username, scopes, flow)

    def revoke(self, token: str) -> None:
        """Revoke a token, as its user can on Egnyte's own pages."""
        with self.lock:
            found = self.grants.find(token)
            if found is None:
                raise KeyError("unknown token")
            self.grants.revoke(found, self.policy_of(found.grant.client_id))

    def expire_token(self, token: str) -> None:
        """Expire a token now. The other tokens of its grant stay valid."""
        with self.lock:
            found = self.grants.find(token)
            if found is None:
                raise KeyError("unknown token")
            found.expires_at = self.now()

    def is_alive(self, token: str) -> bool:
        """Whether an access or refresh token is valid now. Ignores whether its key is suspended."""
        with self.lock:
            found = self.grants.find(token)
            return found is not None and found.alive(self.now())

    def live_tokens(self, domain: str | None = None) -> list[LiveToken]:
        """All valid tokens of one domain, or of all domains."""
        with self.lock:
            return [
                LiveToken(
                    token.value,
                    token.kind,
                    token.grant.id,
                    token.grant.domain,
                    token.grant.username,
                    token.grant.client_id,
                    fingerprint(token.value),
                )
                for token in self.grants.live()
                if domain in (None, token.grant.domain)
            ]

    def live_grants(self, domain: str | None = None) -> list[LiveGrant]:
        """All grants with a valid token, of one domain or of all domains."""
        with self.lock:
            grants = {token.grant.id: token.grant for token in self.grants.live()}
            return [
                LiveGrant(g.id, g.domain, g.username, g.client_id, g.scopes)
                for g in grants.values()
                if domain in (None, g.domain)
            ]

    # The log

    @property
    def requests_log(self) -> list[LoggedRequest]:
        """The last requests, oldest first. At most `LOG_LENGTH`."""
        with self.lock:
            return list(self._log)

    @property
    def counts(self) -> Counter[str]:
        """The number of requests by endpoint. Token requests are also counted by grant type."""
        with self.lock:
            return Counter(self._counts)

    def record(self, entry: LoggedRequest) -> None:
        """Log an answered request. Called by the app."""
        with self.lock:
            self._log.append(entry)
            self._counts[entry.endpoint] += 1
            if entry.endpoint.startswith("token:"):
                self._counts["token"] += 1

    def _domain(self, label: str) -> Domain:
        return _found("domain", label, self.domains)

    def _key(self, client_id: str) -> Key:
        return _found("key", client_id, self._keys)


def _found(kind: str, name: str, known: Mapping[str, _T]) -> _T:
    """The object with this name. The KeyError of an unknown name lists the known ones."""
    if name not in known:
        raise KeyError(f"no {kind} {name!r}, there are: {', '.join(known) or 'none'}")
    return known[name]
