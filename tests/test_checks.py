from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from celery import Celery
from django.conf.urls.i18n import i18n_patterns
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings
from django.urls import include, path, set_script_prefix

from django_egnyte import checks, conf
from django_egnyte.checks.site import names, setting_names
from django_egnyte.middleware import EgnyteMiddleware
from django_egnyte.models import AccountEvent
from django_egnyte.schedules import BEAT_SCHEDULE

from .docpages import settings_of_the_code

OURS = "django_egnyte.middleware.EgnyteMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


FERNET = "django_egnyte.ciphers.FernetCipher"
KEY = "a secret of the checks, thirty-two characters"


class SitesOwnMiddleware(EgnyteMiddleware):
    pass


class ReplicaRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model is AccountEvent else None


@pytest.fixture(autouse=True)
def _no_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_egnyte.queue._site_app", lambda: None)


def messages_of(deploy: bool = False, **settings: Any) -> list[CheckMessage]:
    """This app's messages; each must come with a hint."""
    with override_settings(**settings):
        messages = run_checks(include_deployment_checks=deploy)
    ours = [message for message in messages if (message.id or "").startswith("egnyte.")]
    assert all(message.hint and message.msg for message in ours)
    return ours


def found(deploy: bool = False, **settings: Any) -> list[str]:
    return [str(message.id) for message in messages_of(deploy, **settings)]


def test_a_good_configuration_passes() -> None:
    assert found() == []
    assert found(deploy=True) == []


# Settings, and the expected ids.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"EGNYTE_CLIENT_ID": ""}, ["egnyte.E001"]),
    ({"EGNYTE_CLIENT_ID": None}, ["egnyte.E001"]),
    ({"EGNYTE_CLIENT_ID": ("a comma too many",)}, ["egnyte.E017"]),
    ({"EGNYTE_CLIENT_ID": "from-a-file\n"}, ["egnyte.E017"]),
    ({"EGNYTE_CLIENT_SECRET": b"bytes"}, ["egnyte.E017"]),
    ({"EGNYTE_CLIENT_SECRET": "from-a-file\n"}, ["egnyte.E017"]),
    ({"EGNYTE_CLIENT_SECRET": " pasted"}, ["egnyte.E017"]),
    ({"EGNYTE_CLIENT_SECRET": ""}, ["egnyte.W001"]),
    ({"EGNYTE_CLIENT_SECRET": None}, ["egnyte.W001"]),
    ({"EGNYTE_FLOW": "magic"}, ["egnyte.E002"]),
    ({"EGNYTE_REGION": "mars"}, ["egnyte.E003"]),
    ({"EGNYTE_REDIRECT_URI": "http://site.example/egnyte/callback/"}, ["egnyte.E004"]),
    ({"EGNYTE_REDIRECT_URI": "https:///egnyte/callback/"}, ["egnyte.E004"]),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/egnyte/callback/\n"}, ["egnyte.E004"]),
    ({"EGNYTE_REDIRECT_URI": "https://[site.example/egnyte/callback/"}, ["egnyte.E004"]),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/egnyte/callback/#"}, ["egnyte.E004"]),
    ({"EGNYTE_REDIRECT_URI": ("https://site.example/egnyte/callback/",)}, ["egnyte.E004"]),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/egnyte/callback/?of=egnyte"}, []),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/app/egnyte/callback/"}, []),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/%65gnyte/callback/"}, []),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/egnyte/callback"}, []),  # APPEND_SLASH
    (
        {"EGNYTE_REDIRECT_URI": "https://site.example/egnyte/callback", "APPEND_SLASH": False},
        ["egnyte.W010"],
    ),
    ({"EGNYTE_REDIRECT_URI": "https://site.example:8443"}, ["egnyte.W010"]),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/oauth/callback/"}, ["egnyte.W010"]),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/myegnyte/callback/"}, ["egnyte.W010"]),
    ({"EGNYTE_REDIRECT_URI": "https://site.example/?to=/egnyte/callback/"}, ["egnyte.W010"]),
    ({"EGNYTE_REDIRECT_URI": ""}, []),  # as good as None
    ({"EGNYTE_SCOPES": "Egnyte.filesystem"}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": ["Egnyte.filesystem Egnyte.link"]}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": ["Egnyte.filesystem\n"]}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": {"Egnyte.filesystem": True}}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": b"Egnyte.filesystem"}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": {"Egnyte.filesystem", "Egnyte.link"}}, []),
    ({"EGNYTE_SCOPES": None}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": []}, ["egnyte.W002"]),
    ({"EGNYTE_SCOPES": ["Egnyte.filesytem"]}, ["egnyte.W003"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": "egnyte.com"}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": []}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": None}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": [None]}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": {"egnyte.com", "egnytegov.com"}}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": frozenset({"egnyte.com"})}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": ("egnytegov.com", "egnyte.com")}, []),
    ({"EGNYTE_DOMAIN_SUFFIXES": ["com"]}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": ["https://egnyte.com/"]}, ["egnyte.E006"]),
    ({"EGNYTE_ALLOWED_DOMAINS": "acme"}, ["egnyte.E007"]),
    ({"EGNYTE_ALLOWED_DOMAINS": ["acme", "acme.example.com"]}, ["egnyte.E007"]),
    ({"EGNYTE_ALLOWED_DOMAINS": ["acme", 2020]}, ["egnyte.E007"]),
    ({"EGNYTE_ALLOWED_DOMAINS": {"acme", "globex"}}, []),
    ({"EGNYTE_ALLOWED_DOMAINS": []}, ["egnyte.W009"]),
    ({"EGNYTE_ALLOWED_DOMAINS": set(), "EGNYTE_DOMAIN": ""}, ["egnyte.W009"]),
    ({"EGNYTE_ALLOWED_DOMAINS": ""}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": "www"}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": "2020"}, []),
    ({"EGNYTE_DOMAIN": 2020}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": ["acme"]}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": True}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": "acme", "EGNYTE_ALLOWED_DOMAINS": ["globex"]}, ["egnyte.E008"]),
    ({"EGNYTE_DOMAIN": "acme", "EGNYTE_ALLOWED_DOMAINS": []}, ["egnyte.E008"]),
    ({"EGNYTE_CIPHER": "no.such.Cipher"}, ["egnyte.E009"]),
    ({"EGNYTE_CIPHER": None}, ["egnyte.E009"]),
    ({"EGNYTE_CIPHER": ""}, ["egnyte.E009"]),
    ({"EGNYTE_CIPHER": []}, ["egnyte.E009"]),
    ({"EGNYTE_CIPHER": {FERNET}}, ["egnyte.E009"]),
    ({"EGNYTE_CIPHER": (FERNET,)}, []),
    ({"EGNYTE_CIPHER": [5]}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": ["short"]}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": []}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": "a text of more than thirty-two characters"}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": {KEY, f"another {KEY}"}}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": {KEY: "newest"}}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": KEY.encode()}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": [KEY.encode()]}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": (KEY, "an older one")}, []),
    ({"EGNYTE_BASE_URL": "https://egnyte.example/d/{domain}"}, ["egnyte.E011"]),
    ({"EGNYTE_BASE_URL": "localhost:8765/d/{domain}"}, ["egnyte.E011"]),
    ({"EGNYTE_BASE_URL": "//localhost:8765/d/{domain}"}, ["egnyte.E011"]),
    ({"EGNYTE_BASE_URL": 8765}, ["egnyte.E011"]),
    ({"DATABASE_ROUTERS": [f"{__name__}.ReplicaRouter"]}, ["egnyte.E012"]),
    ({"MIDDLEWARE": [AUTHENTICATION]}, ["egnyte.W004"]),
    ({"MIDDLEWARE": [OURS, AUTHENTICATION]}, ["egnyte.E015"]),
    ({"MIDDLEWARE": [OURS]}, ["egnyte.E015"]),
    ({"MIDDLEWARE": [AUTHENTICATION, f"{__name__}.SitesOwnMiddleware"]}, []),
    ({"SESSION_COOKIE_SAMESITE": "Strict"}, ["egnyte.W005"]),
]


@pytest.mark.parametrize(("settings", "ids"), WRONG)
def test_a_mistake_is_found(settings: dict[str, Any], ids: list[str]) -> None:
    assert found(**settings) == ids


SECONDS = [True, None, "3", -1, math.nan, math.inf, -math.inf, 10**400, Decimal(3)]
COUNTS = [True, None, "2", -1, 2.0, math.nan, math.inf, 10**400]
TIMES = [None, 86400, timedelta(seconds=-1), timedelta.min, timedelta.max, timedelta(days=366)]
# A number or a time, with invalid values and with valid limits.
BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    (
        "EGNYTE_TIMEOUT",
        [30, None, "30", (), (30,), (3, 30, 30), {3, 30}, math.inf]
        + [(wrong, 30) for wrong in [*SECONDS, 0, checks.SILENCE]]
        + [(3.05, wrong) for wrong in [*SECONDS, 0, checks.SILENCE]],
        [(3.05, 30), [1, 1], (0.1, 1), (3.05, checks.SILENCE - 0.1)],
    ),
    ("EGNYTE_MAX_RETRIES", [*COUNTS, 101], [0, 2, 100]),
    ("EGNYTE_MAX_THROTTLE_WAIT", [*SECONDS, 3601], [0, 0.5, 3600]),
    (
        "EGNYTE_VALIDATE_EVERY",
        [*TIMES, timedelta(0)],
        [timedelta(seconds=1), timedelta(days=365)],
    ),
    ("EGNYTE_REFRESH_BEFORE", TIMES, [timedelta(0), timedelta(days=365)]),
    (
        "EGNYTE_REVOKE_INACTIVE_AFTER",
        [*TIMES[1:], timedelta(0), False],
        [None, timedelta(seconds=1), timedelta(days=365)],
    ),
    ("EGNYTE_TOKEN_REQUESTS_PER_HOUR", [*COUNTS, 0, 1_000_001], [1, 100, 1_000_000]),
    ("EGNYTE_EVENTS_PER_HOUR", [*COUNTS, 999, 10_000_001], [1000, 10_000_000]),
]


@pytest.mark.parametrize(("name", "wrong", "right"), BOUNDS, ids=[name for name, *_ in BOUNDS])
def test_numbers_and_times_have_bounds(name: str, wrong: list[Any], right: list[Any]) -> None:
    for value in wrong:
        assert found(**{name: value}) == ["egnyte.E010"], value
    for value in right:
        assert found(**{name: value}) == [], value


def test_a_token_call_of_the_longest_timeout_ends_before_its_task() -> None:
    assert 0 < conf.TOKEN_DEADLINE + checks.SILENCE <= conf.TASK_SOFT_TIME_LIMIT
    (message,) = messages_of(EGNYTE_TIMEOUT=(3.05, checks.SILENCE))
    assert f"below {checks.SILENCE}" in message.msg


# Only the deployment checks report these.
UNFIT: list[tuple[dict[str, Any], list[str]]] = [
    ({"EGNYTE_BASE_URL": "http://127.0.0.1:8765/d/{domain}"}, ["egnyte.E013"]),
    ({"EGNYTE_FLOW": "password"}, ["egnyte.W007"]),
    ({"EGNYTE_FLOW": "implicit"}, ["egnyte.W008"]),
    ({"EGNYTE_CLIENT_ID": "sandbox-code-key"}, ["egnyte.E014"]),
]


@pytest.mark.parametrize(("settings", "ids"), UNFIT)
def test_what_is_unfit_for_production_is_found_by_check_deploy(
    settings: dict[str, Any], ids: list[str]
) -> None:
    assert found(deploy=True, **settings) == ids
    assert found(**settings) == []


def test_development_against_the_sandbox_needs_no_https(settings: Any) -> None:
    settings.EGNYTE_BASE_URL = "http://{domain}.localhost:8765"

    assert found(EGNYTE_REDIRECT_URI="http://127.0.0.1:8000/egnyte/callback/") == []


@pytest.fixture
def _mounted_below_app() -> Iterator[None]:
    set_script_prefix("/app/")
    yield
    set_script_prefix("/")


@pytest.mark.usefixtures("_mounted_below_app")
@pytest.mark.parametrize("prefix", ["/app", "", "/outer/app"])
def test_a_redirect_uri_may_have_any_prefix(prefix: str) -> None:
    assert found(EGNYTE_REDIRECT_URI=f"https://site.example{prefix}/egnyte/callback/") == []
    assert found(EGNYTE_REDIRECT_URI=f"https://site.example{prefix}/back/") == ["egnyte.W010"]


def urls(*patterns: Any) -> ModuleType:
    module = ModuleType("urls")
    module.urlpatterns = patterns  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("language", ["en-us", "de"])
def test_a_redirect_uri_may_be_in_any_language(language: str) -> None:
    site = urls(*i18n_patterns(path("egnyte/", include("django_egnyte.urls"))))
    uri = f"https://site.example/{language}/egnyte/callback/"

    assert found(ROOT_URLCONF=site, EGNYTE_REDIRECT_URI=uri) == []


def test_without_urls_there_is_no_callback_to_compare_with(settings: Any) -> None:
    uri = "https://site.example/oauth/callback/"

    assert found(ROOT_URLCONF=urls(), EGNYTE_REDIRECT_URI=uri) == ["egnyte.W012"]
    del settings.ROOT_URLCONF
    assert found(EGNYTE_REDIRECT_URI=uri) == []


def test_the_implicit_flow_needs_no_secret() -> None:
    assert found(EGNYTE_FLOW="implicit", EGNYTE_CLIENT_SECRET="") == []


def test_domains_in_all_their_forms_are_understood() -> None:
    allowed = ["ACME ", "https://globex.egnyte.com/"]

    assert found(EGNYTE_DOMAIN="acme.egnyte.com", EGNYTE_ALLOWED_DOMAINS=allowed) == []


def test_missing_sessions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_egnyte.checks.site.apps.is_installed", lambda name: False)

    assert found() == ["egnyte.E016"]


def test_no_message_shows_a_secret(settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["a secret"]
    settings.EGNYTE_CLIENT_SECRET = "test-client-secret\n"
    settings.EGNYTE_FLOW = "magic"

    shown = " ".join(f"{m.msg} {m.hint}" for m in run_checks(include_deployment_checks=True))
    assert "a secret" not in shown
    assert "egnyte.E017" in {m.id for m in run_checks()}
    assert "test-client-secret" not in shown
    assert settings.SECRET_KEY not in shown


def test_checks_ask_no_database(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0) as asked:
        found(deploy=True)
    assert len(asked) == 0


@pytest.mark.parametrize(("value", "ids"), [(False, ["egnyte.E018"]), (True, [])])
def test_a_database_whose_transactions_the_site_ends_itself_is_found(
    settings: Any, monkeypatch: pytest.MonkeyPatch, value: bool, ids: list[str]
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "AUTOCOMMIT", value)
    assert found() == ids


class TestSchedule:
    @pytest.fixture(autouse=True)
    def app(self, monkeypatch: pytest.MonkeyPatch) -> Celery:
        app = Celery("site", set_as_current=False, broker="amqp://nobody:5672//")
        monkeypatch.undo()
        monkeypatch.setattr("django_egnyte.queue._site_app", lambda: app)
        return app

    def test_a_schedule_without_the_sweeps_is_found(self, app: Celery) -> None:
        assert found() == ["egnyte.W006"]
        app.conf.beat_schedule = dict(list(BEAT_SCHEDULE.items())[1:])
        assert found() == ["egnyte.W006"]

    def test_a_schedule_with_the_sweeps_passes(self, app: Celery) -> None:
        app.conf.beat_schedule = {"mine": {"task": "x", "schedule": 5}, **BEAT_SCHEDULE}

        assert found() == []

    def test_a_schedule_in_a_database_is_not_judged(self, app: Celery) -> None:
        app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"

        assert found() == []


def test_a_site_without_celery_is_not_asked_for_a_schedule() -> None:
    assert found() == []


class NoUrls:
    urlpatterns: list[Any] = []


def test_urls_that_are_not_included_are_found() -> None:
    assert found(ROOT_URLCONF=NoUrls) == ["egnyte.W012"]
    assert found(ROOT_URLCONF=None) == []


def test_urls_that_cannot_be_imported_are_djangos_trouble() -> None:
    with override_settings(ROOT_URLCONF="no.such.module"):
        assert [str(each.id) for each in checks.check_site()] == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("EGNYTE_CLIENT_SECRT", "EGNYTE_CLIENT_SECRET"),
        ("EGNYTE_DOMAINS", "EGNYTE_DOMAIN"),
        ("EGNYTE_ENCRYPTION_KEY", "EGNYTE_ENCRYPTION_KEYS"),
        ("EGNYTE_REDIRECT_URL", "EGNYTE_REDIRECT_URI"),
        ("EGNYTE_SCOPE", "EGNYTE_SCOPES"),
        ("EGNYTE_CIPHERS", "EGNYTE_CIPHER"),
    ],
)
def test_a_misspelt_setting_is_found_with_the_nearest_name(name: str, nearest: str) -> None:
    (message,) = messages_of(**{name: "a-secret-value"})
    assert message.id == "egnyte.W013"
    assert name in message.msg
    assert f"Did you mean {nearest}?" in str(message.hint)
    assert "a-secret-value" not in f"{message.msg}{message.hint}"


def test_a_setting_of_the_sites_own_is_found_without_a_suggestion() -> None:
    (message,) = messages_of(EGNYTE_ZZZ="x")
    assert message.id == "egnyte.W013"
    assert "Did you mean" not in str(message.hint)


def test_every_setting_that_the_code_reads_is_known() -> None:
    known = setting_names()
    assert known == settings_of_the_code()
    for name in sorted(known):
        with override_settings(**{name: None}):
            assert [str(each.id) for each in names()] == []
