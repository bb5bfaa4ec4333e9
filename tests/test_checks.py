from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.local import Proxy
from django.core.checks import run_checks
from django.test import override_settings

from django_egnyte.middleware import EgnyteMiddleware
from django_egnyte.models import AccountEvent
from django_egnyte.schedules import BEAT_SCHEDULE

OURS = "django_egnyte.middleware.EgnyteMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


class SitesOwnMiddleware(EgnyteMiddleware):
    pass


class ReplicaRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model is AccountEvent else None


@pytest.fixture(autouse=True)
def _no_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_egnyte.queue._is_configured", lambda app: False)


def found(deploy: bool = False, **settings: Any) -> list[str]:
    """The ids of this app's messages; each must come with a hint."""
    with override_settings(**settings):
        messages = run_checks(include_deployment_checks=deploy)
    ours = [message for message in messages if (message.id or "").startswith("egnyte.")]
    assert all(message.hint and message.msg for message in ours)
    return [str(message.id) for message in ours]


def test_a_good_configuration_passes() -> None:
    assert found() == []
    assert found(deploy=True) == []


# Settings, and the ids that they should bring.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"EGNYTE_CLIENT_ID": ""}, ["egnyte.E001"]),
    ({"EGNYTE_CLIENT_SECRET": ""}, ["egnyte.W001"]),
    ({"EGNYTE_FLOW": "magic"}, ["egnyte.E002"]),
    ({"EGNYTE_REGION": "mars"}, ["egnyte.E003"]),
    ({"EGNYTE_REDIRECT_URI": "http://site.example/egnyte/callback/"}, ["egnyte.E004"]),
    ({"EGNYTE_SCOPES": "Egnyte.filesystem"}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": ["Egnyte.filesystem Egnyte.link"]}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": None}, ["egnyte.E005"]),
    ({"EGNYTE_SCOPES": []}, ["egnyte.W002"]),
    ({"EGNYTE_SCOPES": ["Egnyte.filesytem"]}, ["egnyte.W003"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": "egnyte.com"}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": []}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": ["com"]}, ["egnyte.E006"]),
    ({"EGNYTE_DOMAIN_SUFFIXES": ["https://egnyte.com/"]}, ["egnyte.E006"]),
    ({"EGNYTE_ALLOWED_DOMAINS": "acme"}, ["egnyte.E007"]),
    ({"EGNYTE_ALLOWED_DOMAINS": ["acme", "acme.example.com"]}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": "www"}, ["egnyte.E007"]),
    ({"EGNYTE_DOMAIN": 5}, []),  # "5" could be one
    ({"EGNYTE_DOMAIN": "acme", "EGNYTE_ALLOWED_DOMAINS": ["globex"]}, ["egnyte.E008"]),
    ({"EGNYTE_DOMAIN": "acme", "EGNYTE_ALLOWED_DOMAINS": []}, ["egnyte.E008"]),
    ({"EGNYTE_CIPHER": "no.such.Cipher"}, ["egnyte.E009"]),
    ({"EGNYTE_CIPHER": None}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": ["short"]}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": []}, ["egnyte.E009"]),
    ({"EGNYTE_ENCRYPTION_KEYS": "a text of more than thirty-two characters"}, ["egnyte.E009"]),
    ({"EGNYTE_TIMEOUT": 30}, ["egnyte.E010"]),
    ({"EGNYTE_TIMEOUT": (3, "30")}, ["egnyte.E010"]),
    ({"EGNYTE_TIMEOUT": (0, 30)}, ["egnyte.E010"]),
    ({"EGNYTE_MAX_RETRIES": "2"}, ["egnyte.E010"]),
    ({"EGNYTE_MAX_RETRIES": -1}, ["egnyte.E010"]),
    ({"EGNYTE_MAX_THROTTLE_WAIT": None}, ["egnyte.E010"]),
    ({"EGNYTE_VALIDATE_EVERY": 86400}, ["egnyte.E010"]),
    ({"EGNYTE_VALIDATE_EVERY": timedelta(0)}, ["egnyte.E010"]),
    ({"EGNYTE_REFRESH_BEFORE": timedelta(days=-1)}, ["egnyte.E010"]),
    ({"EGNYTE_TOKEN_REQUESTS_PER_HOUR": 0}, ["egnyte.E010"]),
    ({"EGNYTE_BASE_URL": "https://egnyte.example/d/{domain}"}, ["egnyte.E011"]),
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


# What only the deployment checks mind.
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


def test_the_implicit_flow_needs_no_secret() -> None:
    assert found(EGNYTE_FLOW="implicit", EGNYTE_CLIENT_SECRET="") == []


def test_domains_in_all_their_forms_are_understood() -> None:
    allowed = ["ACME ", "https://globex.egnyte.com/"]

    assert found(EGNYTE_DOMAIN="acme.egnyte.com", EGNYTE_ALLOWED_DOMAINS=allowed) == []


def test_missing_sessions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_egnyte.checks.apps.is_installed", lambda name: False)

    assert found() == ["egnyte.E016"]


def test_no_message_shows_a_secret(settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["a secret"]
    settings.EGNYTE_FLOW = "magic"

    shown = " ".join(f"{m.msg} {m.hint}" for m in run_checks(include_deployment_checks=True))
    assert "a secret" not in shown
    assert settings.EGNYTE_CLIENT_SECRET not in shown
    assert settings.SECRET_KEY not in shown


def test_checks_ask_no_database(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0) as asked:
        found(deploy=True)
    assert len(asked) == 0


class TestSchedule:
    @pytest.fixture(autouse=True)
    def app(self, monkeypatch: pytest.MonkeyPatch) -> Celery:
        app = Celery("site", set_as_current=False, broker="amqp://nobody:5672//")
        monkeypatch.undo()
        monkeypatch.setattr("django_egnyte.queue.current_app", Proxy(lambda: app))
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
