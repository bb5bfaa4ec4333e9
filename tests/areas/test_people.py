"""Users, groups and permissions."""

from __future__ import annotations

from typing import Any

import pytest

from django_egnyte import answers
from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidPathError,
    NotFoundError,
)
from django_egnyte.sandbox import Sandbox
from tests.areas.conftest import MakeClient, Way


def test_users_are_listed_over_pages(admin: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    for number in range(5):
        sandbox.add_user("acme", f"user{number}")
    listing = admin.users.list(page_size=3)
    names = [user.user_name for user in way.list(listing)]
    assert names == ["jsmith", "bdoe", "admin", *(f"user{number}" for number in range(5))]
    assert way.total(listing) == 8
    assert sandbox.counts["users:list"] == 3


@pytest.mark.parametrize(
    "condition", [{"user_name": "JSMITH"}, {"email": "jsmith@acme.example"}], ids=str
)
def test_a_user_is_found(admin: EgnyteClient, condition: Any, way: Way) -> None:
    [jane] = way.list(admin.users.list(**condition))
    assert (jane.id, jane.name, jane.given_name, jane.family_name) == (
        121,
        "Jane Smith",
        "Jane",
        "Smith",
    )
    assert (jane.user_type, jane.auth_type, jane.active) == ("power", "egnyte", True)
    assert jane.delete_on_expiry is False and jane.created_date is not None
    assert way(admin.users, "get", 121) == jane


def test_a_user_is_made_changed_and_deleted(admin: EgnyteClient, way: Way) -> None:
    made = way(
        admin.users, "create", "nina", "nina@acme.example", "Nina", "Novak", user_type="power"
    )
    assert (made.user_name, made.name, made.user_type) == ("nina", "Nina Novak", "power")
    changed = way(admin.users, "change", made.id, family_name="Nowak", user_type="admin")
    assert (changed.name, changed.user_type) == ("Nina Nowak", "admin")
    with pytest.raises(ConflictError):
        way(admin.users, "create", "nina", "other@acme.example", "Nina", "Novak")
    way(admin.users, "delete", made.id)
    for name in ("get", "delete"):
        with pytest.raises(NotFoundError):
            way(admin.users, name, made.id)


def test_what_egnyte_does_not_know_it_refuses(admin: EgnyteClient, way: Way) -> None:
    with pytest.raises(ValueError, match="change"):
        way(admin.users, "change", 121)
    answer = admin.patch("/pubapi/v2/users/121", json={"name": {}})
    with pytest.raises(BadRequestError) as caught:
        answers.raise_for_status(answer)
    assert caught.value.code == "UNKNOWN_FIELD"
    assert admin.post("/pubapi/v2/users", json={"userName": "x"}).status_code == 400


@pytest.mark.parametrize("wrong", ['a" or userName sw "', "a\\"])
def test_a_filter_cannot_be_broken_out_of(admin: EgnyteClient, wrong: str) -> None:
    for name in ("user_name", "email", "external_id"):
        condition: Any = {name: wrong}
        with pytest.raises(ValueError, match="quotation"):
            admin.users.list(**condition)
    with pytest.raises(ValueError, match="one condition"):
        admin.users.list(user_name="a", email="b")


def test_users_and_groups_are_for_administrators(jane: EgnyteClient, way: Way) -> None:
    for listing in (jane.users.list(), jane.groups.list()):
        with pytest.raises(ForbiddenError):
            way.list(listing)


def test_a_group_and_its_members(admin: EgnyteClient, way: Way) -> None:
    made = way(admin.groups, "create", "Finance", [121])
    assert [(m.value, m.display) for m in made.members] == [(121, "jsmith")]
    with pytest.raises(ConflictError):
        way(admin.groups, "create", "Finance")
    assert [m.value for m in way(admin.groups, "add_members", made.id, [122]).members] == [121, 122]
    assert [m.value for m in way(admin.groups, "remove_members", made.id, [121]).members] == [122]
    assert way(admin.groups, "rename", made.id, "Money").display_name == "Money"
    group = way(admin.groups, "get", made.id)
    assert (group.display_name, [m.value for m in group.members]) == ("Money", [122])
    assert admin.users.get(122).groups[0]["displayName"] == "Money"
    replaced = way(admin.groups, "replace", made.id, "Cash", [100])
    assert (replaced.display_name, [m.value for m in replaced.members]) == ("Cash", [100])
    with pytest.raises(BadRequestError):
        way(admin.groups, "add_members", made.id, [999])
    way(admin.groups, "delete", made.id)
    with pytest.raises(NotFoundError):
        way(admin.groups, "get", made.id)


def test_groups_are_listed_and_filtered(admin: EgnyteClient, way: Way) -> None:
    for name in ("Alpha", "Alps", "Beta", "Gamma", "Halpern"):
        admin.groups.create(name)

    def names(**condition: Any) -> list[str]:
        return [each.display_name for each in way.list(admin.groups.list(**condition))]

    assert names(page_size=2) == ["Alpha", "Alps", "Beta", "Gamma", "Halpern"]
    assert names(name="alpha") == ["Alpha"]
    assert names(name_starts_with="alp") == ["Alpha", "Alps"]
    assert names(name_contains="alp") == ["Alpha", "Alps", "Halpern"]


def test_permissions_are_set_and_read(admin: EgnyteClient, jane: EgnyteClient, way: Way) -> None:
    folder = "/Shared/Documents"
    assert way(jane.permissions, "effective", folder) == "Full"
    way(admin.permissions, "set", folder, users={"jsmith": "Viewer"}, groups={"Staff": "Editor"})
    found = way(admin.permissions, "get", folder)
    assert (found.users, found.groups, found.inherits) == (
        {"jsmith": "Viewer"},
        {"Staff": "Editor"},
        True,
    )
    assert way(jane.permissions, "effective", folder) == "Viewer"
    assert way(admin.permissions, "effective", folder, username="jsmith") == "Viewer"
    way(
        admin.permissions,
        "set",
        folder,
        users={"jsmith": "None"},
        inherits=False,
        keep_parent=False,
    )
    found = way(admin.permissions, "get", folder)
    assert (found.users, found.groups, found.inherits) == ({}, {"Staff": "Editor"}, False)
    assert way(jane.permissions, "effective", folder) == "None"


def test_permissions_bad_input(admin: EgnyteClient, client_of: MakeClient, way: Way) -> None:
    for wrong in ({"users": {"jsmith": "viewer"}}, {"groups": {"Staff": "All"}}):
        with pytest.raises(ValueError, match="level"):
            way(admin.permissions, "set", "/Shared/Documents", **wrong)
    with pytest.raises(ValueError, match="keep_parent"):
        way(admin.permissions, "set", "/Shared/Documents", keep_parent=True)
    with pytest.raises(BadRequestError):
        way(admin.permissions, "get", "/Private/admin")
    with pytest.raises(NotFoundError):
        way(admin.permissions, "get", "/Shared/none")
    with pytest.raises(InvalidPathError):
        way(admin.permissions, "effective", "/Shared/Documents", username="../folder")
    with pytest.raises(ForbiddenError):
        way(client_of("jsmith").permissions, "set", "/Shared/Documents", users={"bdoe": "Full"})
