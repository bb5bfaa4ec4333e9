from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError

from django_egnyte.management.selection import in_words, selected
from django_egnyte.models import EgnyteAccount


def names(*, live: bool = True, **options: Any) -> list[str]:
    options = {"account": None, "user": None, "domain": None, "all": False} | options
    return sorted(each.username for each in selected(options, live=live))


def test_accounts_are_selected_by_user_domain_and_id(accounts: list[EgnyteAccount]) -> None:
    one, two = (accounts[0].user.get_username(), accounts[2].user.get_username())
    assert names(all=True) == ["bdoe", "jsmith", "mmiller"]
    assert names(user=one) == ["bdoe", "jsmith"]
    assert names(user=two) == ["mmiller"]
    assert names(domain="ACME ") == ["bdoe", "jsmith"]
    assert names(domain="https://globex.egnyte.com/") == ["mmiller"]
    assert names(account=accounts[1].pk) == ["bdoe"]
    assert names(user=one, domain="globex") == []
    assert names(user=one, account=accounts[2].pk) == []


def test_dead_accounts_are_selected_only_if_asked_for(accounts: list[EgnyteAccount]) -> None:
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(status="revoked")
    EgnyteAccount.objects.filter(pk=accounts[1].pk).write(status="suspect")
    assert names(all=True) == ["bdoe", "mmiller"]
    assert names(account=accounts[0].pk) == []
    assert names(live=False, all=True) == ["bdoe", "jsmith", "mmiller"]
    assert names(live=False, account=accounts[0].pk) == ["jsmith"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"all": True, "account": 1},
        {"all": True, "user": "x"},
        {"all": True, "domain": "acme"},
        {"all": True, "user": ""},
        {"all": True, "domain": ""},
    ],
)
def test_what_is_meant_must_be_said_clearly(db: None, options: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="Say which"):
        names(**options)


def test_an_unknown_user_is_an_error(accounts: list[EgnyteAccount]) -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        names(user="nobody")


def test_an_unknown_account_is_an_error(accounts: list[EgnyteAccount]) -> None:
    with pytest.raises(CommandError, match=r"There is no account 0\."):
        names(account=0)


@pytest.mark.parametrize("empty", ["user", "domain"])
def test_an_empty_name_does_not_widen_what_is_meant(
    accounts: list[EgnyteAccount], empty: str
) -> None:
    """For example an empty variable in a script."""
    one = {"user": accounts[0].user.get_username(), "domain": "acme"}
    with pytest.raises(CommandError):
        names(**one | {empty: ""})
    with pytest.raises(CommandError):
        names(**{empty: ""})


@pytest.mark.parametrize("domain", ["evil.com", "acme.evil.com", "www", "a b"])
def test_what_is_no_domain_is_an_error(db: None, domain: str) -> None:
    with pytest.raises(CommandError):
        names(domain=domain)


@pytest.mark.parametrize("domain", ["acmee", "acme.egnyte.co", "acme.egnytegov.com"])
def test_a_misspelt_domain_is_an_error(accounts: list[EgnyteAccount], domain: str) -> None:
    for live in (True, False):
        with pytest.raises(CommandError, match=r"no account at acme|not the host of"):
            names(domain=domain, live=live)


def test_a_domain_whose_accounts_are_all_dead_is_known(accounts: list[EgnyteAccount]) -> None:
    EgnyteAccount.objects.filter(domain="globex.egnyte.com").write(status="revoked")
    assert names(domain="globex") == []


@pytest.mark.parametrize(("number", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_a_number_has_its_plural(number: int, words: str) -> None:
    assert in_words(number, "row") == words


def test_a_domain_that_may_not_be_linked_is_an_error(db: None, settings: Any) -> None:
    settings.EGNYTE_ALLOWED_DOMAINS = ["globex"]
    with pytest.raises(CommandError, match="may not be linked"):
        names(domain="acme")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EGNYTE_ALLOWED_DOMAINS", ["globex"]),
        ("EGNYTE_DOMAIN", "globex"),
        ("EGNYTE_DOMAIN_SUFFIXES", ["egnytegov.com"]),
    ],
)
def test_accounts_at_a_domain_that_may_be_linked_no_more_can_be_named(
    accounts: list[EgnyteAccount], settings: Any, name: str, value: Any
) -> None:
    """For example, to revoke the tokens of a domain that is no longer allowed."""
    setattr(settings, name, value)
    assert names(domain="ACME.egnyte.com ") == ["bdoe", "jsmith"]
