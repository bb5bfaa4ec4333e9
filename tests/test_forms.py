from __future__ import annotations

from typing import Any

import pytest

from django_egnyte.forms import DomainForm, PasswordForm, domain_form
from django_egnyte.secret import Secret

FULL_WIDTH_STOP = "\uff0e"
KELVIN = "\u212a"


@pytest.mark.parametrize(
    "typed",
    [
        "acme",
        "ACME ",
        " acme\t",
        "acme.egnyte.com",
        "https://acme.egnyte.com",
        "https://Acme.Egnyte.com/",
        "http://acme.egnyte.com",
        "acme.egnyte.com:443",
        "https://acme.egnyte.com/app/index.do#storage/files/1/" + "Shared/" * 100,
    ],
)
def test_what_people_type_is_understood(typed: str) -> None:
    form = DomainForm({"domain": typed})
    assert form.is_valid()
    assert form.cleaned_data["domain"] == "acme.egnyte.com"


@pytest.mark.parametrize(
    "typed",
    [
        "evil.com",
        "https://evil.com",
        "acme.egnyte.com.evil.com",
        "acme@evil.com",
        "acme.egnyte.com@evil.com",
        "evil.com/acme.egnyte.com",
        "evil.com#.egnyte.com",
        "evil.com?.egnyte.com",
        "acme/../x",
        "acme\\x",
        "acme:8080",
        "a.b.egnyte.com",
        "javascript:alert(1)",
        "аcme",  # noqa: RUF001 - a Cyrillic a
        "xn--cme-5cd",
        f"acme{FULL_WIDTH_STOP}egnyte.com",
        f"{KELVIN}elvin",
        "acme\u200b",
        "acme\x00",
        "acme\n.evil",
        "-acme",
        "acme-",
        "a" * 64,
        "a" * 100_000,
        "127.0.0.1",
        "localhost.localdomain",
        "www",
        "developers",
        "us-partner-integrations",
        "egnyte.com",
        ".egnyte.com",
        "acme.qa-egnyte.com",
    ],
)
def test_what_is_no_domain_of_a_customer_is_refused(typed: str) -> None:
    form = DomainForm({"domain": typed})
    assert not form.is_valid()
    assert list(form.errors) == ["domain"]


@pytest.mark.parametrize("data", [{}, {"domain": ""}, {"domain": "   "}])
def test_no_domain_is_refused(data: dict[str, str]) -> None:
    assert not DomainForm(data).is_valid()


def test_a_domain_that_is_not_allowed_here_has_its_own_message(settings: Any) -> None:
    settings.EGNYTE_ALLOWED_DOMAINS = ["ACME ", "globex.egnyte.com"]
    assert DomainForm({"domain": "acme"}).is_valid()
    assert DomainForm({"domain": "globex"}).is_valid()
    form = DomainForm({"domain": "initech"})
    assert form.has_error("domain", code="not_allowed")
    assert DomainForm({"domain": "evil.com"}).has_error("domain", code="invalid")


def test_a_message_does_not_repeat_what_was_typed() -> None:
    form = DomainForm({"domain": "<script>alert(1)</script>"})
    assert "script" not in str(form.errors)


def test_there_is_no_form_where_the_domain_is_fixed(settings: Any) -> None:
    assert domain_form(initial="globex") is not None
    settings.EGNYTE_DOMAIN = "acme"
    assert domain_form() is None


@pytest.mark.parametrize("given", ["pass word ", Secret("pass word ")])
def test_a_password_is_a_secret_and_kept_as_it_was_typed(given: Any) -> None:
    form = PasswordForm({"username": "jsmith", "password": given})
    assert form.is_valid()
    assert form.cleaned_data["password"] == Secret("pass word ")
    assert "pass word" not in f"{form.cleaned_data}{form!r}{form.as_div()}"


@pytest.mark.parametrize("given", ["", Secret(""), None])
def test_a_password_is_required(given: Any) -> None:
    form = PasswordForm({"username": "jsmith", "password": given})
    assert form.has_error("password", code="required")


def test_a_password_has_a_limit() -> None:
    form = PasswordForm({"username": "jsmith", "password": Secret("x" * 1025)})
    assert form.has_error("password", code="max_length")
    assert "xxx" not in str(form.errors)
