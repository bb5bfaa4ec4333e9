from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_egnyte import gateway
from django_egnyte.conf import TOKEN_DEADLINE
from django_egnyte.exceptions import InvalidDomainError
from django_egnyte.secret import Secret


def test_a_host_is_asked_over_https() -> None:
    assert gateway.base_url("acme.egnyte.com") == "https://acme.egnyte.com"


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "acme.egnyte.com.evil.com",
        "acme.egnyte.com@evil.com",
        "acme.egnyte.com/",
        "acme.egnyte.com:8443",
        "ACME.egnyte.com",
        "acme",
        "www.egnyte.com",
        "acme.qa-egnyte.com",
        "",
    ],
)
def test_no_token_goes_to_another_host_whatever_a_row_says(host: str) -> None:
    with pytest.raises(InvalidDomainError):
        gateway.base_url(host)
    with pytest.raises(InvalidDomainError):
        gateway.oauth(host)


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("http://127.0.0.1:8765/d/{domain}", "http://127.0.0.1:8765/d/acme"),
        ("http://{domain}.localhost:8765", "http://acme.localhost:8765"),
        ("http://localhost:8765/d/{domain}/", "http://localhost:8765/d/acme"),
        ("http://[::1]:8765/d/{domain}", "http://[::1]:8765/d/acme"),
    ],
)
def test_base_url_replaces_the_host_on_this_machine(settings: Any, template: str, url: str) -> None:
    settings.EGNYTE_BASE_URL = template
    assert gateway.base_url("acme.egnyte.com") == url


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "template",
    [
        "https://evil.com/{domain}",
        "https://{domain}.evil.com",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://127.0.0.1@evil.com",
        "http://evil.com@127.0.0.1",
        "http://evil.com\\@127.0.0.1",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[",
        "localhost",
        "{domain}",
    ],
)
def test_base_url_never_leaves_this_machine(settings: Any, template: str, debug: bool) -> None:
    settings.DEBUG = debug
    settings.EGNYTE_BASE_URL = template
    with pytest.raises(ImproperlyConfigured, match="EGNYTE_BASE_URL"):
        gateway.base_url("acme.egnyte.com")


def test_the_fixed_domain_is_the_only_one(settings: Any) -> None:
    assert gateway.fixed_host() is None
    settings.EGNYTE_DOMAIN = "ACME "
    assert gateway.fixed_host() == "acme.egnyte.com"
    assert gateway.host_of("acme") == "acme.egnyte.com"
    with pytest.raises(InvalidDomainError) as caught:
        gateway.host_of("globex")
    assert caught.value.host == "globex.egnyte.com"


def test_domains_that_are_not_allowed_are_refused(settings: Any) -> None:
    settings.EGNYTE_ALLOWED_DOMAINS = ["acme.egnytegov.com"]
    assert gateway.host_of("acme.egnytegov.com") == "acme.egnytegov.com"
    with pytest.raises(InvalidDomainError):
        gateway.host_of("acme")
    settings.EGNYTE_ALLOWED_DOMAINS = []
    with pytest.raises(InvalidDomainError):
        gateway.host_of("acme.egnytegov.com")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("EGNYTE_DOMAIN", "evil.com"), ("EGNYTE_ALLOWED_DOMAINS", ["acme", "evil.com"])],
)
def test_a_domain_in_the_settings_that_is_none_is_a_misconfiguration(
    settings: Any, setting: str, value: Any
) -> None:
    setattr(settings, setting, value)
    with pytest.raises(ImproperlyConfigured, match=setting):
        gateway.host_of("globex")


def test_the_oauth_client_speaks_for_the_sites_key_and_shows_no_secret(settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "the-key"
    settings.EGNYTE_CLIENT_SECRET = "the-secret"
    client = gateway.oauth("acme.egnyte.com")
    assert (client.client_id, client.client_secret) == ("the-key", Secret("the-secret"))
    assert client.deadline == TOKEN_DEADLINE
    assert "the-secret" not in repr(client)


def test_the_enhanced_service_is_the_regions(settings: Any) -> None:
    assert gateway.enhanced_host() == "us-partner-integrations.egnyte.com"
    assert gateway.base_url(gateway.enhanced_host()).startswith("https://us-partner-")
    settings.EGNYTE_REGION = "eu"
    assert gateway.enhanced_host() == "partner-integrations.egnyte.com"
    settings.EGNYTE_REGION = "mars"
    with pytest.raises(ImproperlyConfigured, match="EGNYTE_REGION"):
        gateway.enhanced_host()


def test_a_key_is_named_without_being_shown(settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "the-key"
    digest = gateway.key_digest()
    assert len(digest) == 64
    assert "the-key" not in digest
    settings.EGNYTE_CLIENT_ID = "another"
    assert gateway.key_digest() != digest
