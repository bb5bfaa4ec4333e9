from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_egnyte import conf as module
from django_egnyte import gateway
from django_egnyte.conf import conf
from django_egnyte.secret import NO_SECRET, Secret


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("flow", "authorization_code"),
        ("domain", None),
        ("allowed_domains", None),
        ("domain_suffixes", ["egnyte.com", "egnytegov.com"]),
        ("scopes", ["Egnyte.filesystem"]),
        ("region", "us"),
        ("redirect_uri", None),
        ("ciphers", ["django_egnyte.ciphers.FernetCipher"]),
        ("timeout", (3.05, 30.0)),
        ("max_retries", 2),
        ("max_throttle_wait", 5.0),
        ("pace_calls", False),
        ("validate_every", timedelta(days=1)),
        ("refresh_before", timedelta(days=7)),
        ("token_requests_per_hour", 100),
        ("base_url", None),
        ("revoke_inactive_after", None),
    ],
)
def test_the_defaults_are_those_of_the_contract(name: str, default: Any) -> None:
    assert getattr(conf, name) == default


@pytest.mark.parametrize(
    ("setting", "name", "given", "read"),
    [
        ("EGNYTE_CLIENT_ID", "client_id", "key", "key"),
        ("EGNYTE_CLIENT_SECRET", "client_secret", None, NO_SECRET),
        ("EGNYTE_CLIENT_SECRET", "client_secret", "secret", Secret("secret")),
        ("EGNYTE_FLOW", "flow", "implicit", "implicit"),
        ("EGNYTE_DOMAIN", "domain", "acme", "acme"),
        ("EGNYTE_ALLOWED_DOMAINS", "allowed_domains", ["acme"], ["acme"]),
        ("EGNYTE_DOMAIN_SUFFIXES", "domain_suffixes", ["qa-egnyte.com"], ["qa-egnyte.com"]),
        ("EGNYTE_SCOPES", "scopes", ["Egnyte.user"], ["Egnyte.user"]),
        ("EGNYTE_REGION", "region", "eu", "eu"),
        ("EGNYTE_REDIRECT_URI", "redirect_uri", "https://a/", "https://a/"),
        ("EGNYTE_CIPHER", "ciphers", "a.B", ["a.B"]),
        ("EGNYTE_CIPHER", "ciphers", ["a.B", "c.D"], ["a.B", "c.D"]),
        (
            "EGNYTE_ENCRYPTION_KEYS",
            "encryption_keys",
            ["new", None],
            [Secret("new"), NO_SECRET],
        ),
        (
            "EGNYTE_REVOKE_INACTIVE_AFTER",
            "revoke_inactive_after",
            timedelta(days=1),
            timedelta(days=1),
        ),
        ("EGNYTE_TIMEOUT", "timeout", (1, 2), (1.0, 2.0)),
        ("EGNYTE_MAX_RETRIES", "max_retries", 0, 0),
        ("EGNYTE_MAX_THROTTLE_WAIT", "max_throttle_wait", 1, 1.0),
        ("EGNYTE_PACE_CALLS", "pace_calls", 1, True),
        ("EGNYTE_VALIDATE_EVERY", "validate_every", timedelta(hours=1), timedelta(hours=1)),
        ("EGNYTE_REFRESH_BEFORE", "refresh_before", timedelta(hours=1), timedelta(hours=1)),
        ("EGNYTE_TOKEN_REQUESTS_PER_HOUR", "token_requests_per_hour", 7, 7),
        ("EGNYTE_EVENTS_PER_HOUR", "events_per_hour", 7000, 7000),
        ("EGNYTE_BASE_URL", "base_url", "http://localhost", "http://localhost"),
    ],
)
def test_a_setting_is_read_when_it_is_asked_for(
    settings: Any, setting: str, name: str, given: Any, read: Any
) -> None:
    setattr(settings, setting, given)
    assert getattr(conf, name) == read


def test_without_a_client_id_the_error_names_the_setting(settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = ""
    with pytest.raises(ImproperlyConfigured, match="EGNYTE_CLIENT_ID"):
        _ = conf.client_id


def test_keys_come_from_the_sites_own_unless_given(settings: Any) -> None:
    settings.SECRET_KEY = "new"
    settings.SECRET_KEY_FALLBACKS = ["old"]
    assert conf.encryption_keys == [Secret("new"), Secret("old")]
    settings.EGNYTE_ENCRYPTION_KEYS = "one string, whose characters would be the keys"
    with pytest.raises(ImproperlyConfigured, match="EGNYTE_ENCRYPTION_KEYS"):
        _ = conf.encryption_keys


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("EGNYTE_DOMAIN_SUFFIXES", "domain_suffixes"),
        ("EGNYTE_CIPHER", "ciphers"),
        ("EGNYTE_ENCRYPTION_KEYS", "encryption_keys"),
    ],
)
def test_a_set_whose_first_would_be_another_in_each_process_is_refused(
    settings: Any, setting: str, name: str
) -> None:
    setattr(settings, setting, {"one.example", "two.example"})
    with pytest.raises(ImproperlyConfigured, match=setting):
        getattr(conf, name)
    setattr(settings, setting, ("two.example", "one.example"))
    read = [each.reveal() if isinstance(each, Secret) else each for each in getattr(conf, name)]
    assert read == ["two.example", "one.example"]


def test_no_cipher_is_refused(settings: Any) -> None:
    settings.EGNYTE_CIPHER = []
    with pytest.raises(ImproperlyConfigured, match="EGNYTE_CIPHER"):
        _ = conf.ciphers


# Seconds of silence: the default, and more than the check allows.
@pytest.fixture(params=[None, 3600.0])
def under_lease(request: Any, settings: Any) -> float:
    """The longest chain of calls: a refresh and its write, userinfo, and the key's proof."""
    if request.param:
        settings.EGNYTE_TIMEOUT = (3.05, request.param)
    deadline = gateway.oauth("acme.egnyte.com").deadline
    return deadline + module.WRITE_PATIENCE + deadline + module.LONGEST_PROOF


def test_whatever_a_task_begins_ends_before_its_worker_and_that_before_the_lease(
    under_lease: float,
) -> None:
    assert module.TOKEN_DEADLINE + under_lease < module.TASK_SOFT_TIME_LIMIT
    assert module.TASK_SOFT_TIME_LIMIT < module.TASK_TIME_LIMIT < module.LEASE < module.IN_FLIGHT


def test_whatever_a_sweep_begins_ends_before_its_worker(under_lease: float) -> None:
    assert module.SWEEP_SLICE + under_lease < module.SWEEP_SOFT_TIME_LIMIT
    # The revoker starts no call so late that its lease could expire before the key's proof.
    assert module.REVOKE_SLICE + module.LEASE < module.SWEEP_SOFT_TIME_LIMIT
    assert module.SWEEP_SOFT_TIME_LIMIT < module.SWEEP_TIME_LIMIT <= 300
    assert under_lease < module.LEASE
    assert 2 * module.TOKEN_DEADLINE + under_lease < module.IN_FLIGHT
