"""The initial users, keys and files of every sandbox. All of them are invented."""

from __future__ import annotations

from typing import NamedTuple

from .state import FlowKind


class Person(NamedTuple):
    """A seeded user."""

    domain: str
    username: str
    password: str
    first_name: str
    last_name: str
    id: int
    admin: bool


# Two users have the same id, because ids are unique only within a domain.
PEOPLE = (
    Person("acme", "jsmith", "demo-password-1", "Jane", "Smith", 121, admin=False),
    Person("acme", "bdoe", "demo-password-2", "Bob", "Doe", 122, admin=False),
    Person("acme", "admin", "demo-password-admin", "Ada", "Admin", 100, admin=True),
    Person("globex", "mmiller", "demo-password-3", "Mia", "Miller", 121, admin=False),
)

CODE_KEY, CODE_SECRET = "sandbox-code-key", "sandbox-code-secret"
INTERNAL_KEY, INTERNAL_SECRET = "sandbox-internal-key", "sandbox-internal-secret"
IMPLICIT_KEY = "sandbox-implicit-key"
LEGACY_KEY = "sandbox-legacy-key"


# The name, secret and flow of each key.
KEYS: tuple[tuple[str, str | None, FlowKind], ...] = (
    (CODE_KEY, CODE_SECRET, "code"),
    (INTERNAL_KEY, INTERNAL_SECRET, "internal"),
    (IMPLICIT_KEY, None, "implicit"),
    (LEGACY_KEY, None, "code"),
)
FOLDERS = (("acme", "/Shared/Documents"),)
# The domain, owner, path and content of each file.
FILES = (
    ("acme", "jsmith", "/Shared/Documents/welcome.txt", b"Welcome to the Egnyte sandbox.\n"),
    ("acme", "jsmith", "/Shared/report 2024.txt", b"Quarterly figures: all good.\n"),
    ("globex", "mmiller", "/Shared/globex.txt", b"Only globex sees this.\n"),
)
