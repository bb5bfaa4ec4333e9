"""The people, keys and files that every sandbox starts with. All of it is invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .sandbox import Sandbox


class Person(NamedTuple):
    """A seeded user."""

    domain: str
    username: str
    password: str
    first_name: str
    last_name: str
    id: int
    admin: bool


# Two people share an id: ids are unique within a domain only.
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


def seed(sandbox: Sandbox) -> None:
    """Fill an empty sandbox."""
    for label in dict.fromkeys(person.domain for person in PEOPLE):
        sandbox.add_domain(label)
    for person in PEOPLE:
        sandbox.add_user(
            person.domain,
            person.username,
            person.password,
            first_name=person.first_name,
            last_name=person.last_name,
            id=person.id,
            admin=person.admin,
        )
    sandbox.add_key(CODE_KEY, CODE_SECRET)
    sandbox.add_key(INTERNAL_KEY, INTERNAL_SECRET, flow="internal")
    sandbox.add_key(IMPLICIT_KEY, flow="implicit")
    sandbox.add_key(LEGACY_KEY)
    sandbox.add_folder("acme", "/Shared/Documents")
    sandbox.add_file("acme", "/Shared/Documents/welcome.txt", b"Welcome to the Egnyte sandbox.\n")
    sandbox.add_file("acme", "/Shared/report 2024.txt", b"Quarterly figures: all good.\n")
    sandbox.add_file(
        "globex", "/Shared/globex.txt", b"Only globex sees this.\n", username="mmiller"
    )
