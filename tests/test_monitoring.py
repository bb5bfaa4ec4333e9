from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone

from django_egnyte import monitoring
from django_egnyte.models import EgnyteAccount, SweepState
from django_egnyte.services import status


@pytest.fixture(autouse=True)
def _a_sweep_has_run(db: None) -> None:
    SweepState.objects.create(name="validations", ran_at=timezone.now())


def no_sweep() -> None:
    SweepState.objects.update(ran_at=timezone.now() - timedelta(hours=2))


def test_problems_are_those_of_egnyte_status(egnyte_account: EgnyteAccount) -> None:
    assert monitoring.problems() == []
    no_sweep()
    assert monitoring.problems() == ["No sweep has run for 120 minutes."]


def test_figures_are_all_of_egnyte_status(egnyte_account: EgnyteAccount) -> None:
    found = monitoring.figures()
    assert all(type(value) is float for value in found.values())
    names = set(status.overview().as_dict()) - {"accounts"}
    assert set(found) == names | {"accounts_active", "accounts_suspect", "accounts_revoked"}
    assert (found["accounts_active"], found["accounts_revoked"]) == (1, 0)
    assert (found["problems"], found["verdicts_paused"], found["key_missing"]) == (0, 0, 0)
    assert 0 <= found["last_sweep_seconds"] < 60
    no_sweep()
    assert monitoring.figures()["problems"] == 1


def test_a_figure_that_is_not_known_is_left_out(settings: Any) -> None:
    SweepState.objects.all().delete()
    settings.EGNYTE_CLIENT_ID = ""
    found = monitoring.figures()
    assert "last_sweep_seconds" not in found
    assert found["key_missing"] == 1


def ask(method: str = "get") -> Any:
    return monitoring.health(getattr(RequestFactory(), method)("/"))


def test_a_health_check_says_whether_somebody_is_needed(egnyte_account: EgnyteAccount) -> None:
    answer = ask()
    assert (answer.status_code, json.loads(answer.content)) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]
    no_sweep()
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - timedelta(hours=2))
    answer = ask()
    assert answer.status_code == 503
    # The page is public, so it has no host names and no descriptions of problems.
    assert json.loads(answer.content) == {"status": "trouble", "problems": 2}
    assert ask("post").status_code == 405


def test_a_health_check_without_a_database_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(monitoring, "overview", fail)
    answer = ask()
    assert (answer.status_code, json.loads(answer.content)) == (503, {"status": "unknown"})


class Urls:
    urlpatterns: ClassVar[list[Any]] = [path("health/", monitoring.health)]


def test_a_health_check_needs_no_login_whatever_the_site_demands(
    settings: Any, client: Client
) -> None:
    settings.ROOT_URLCONF = Urls
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    # A redirect to the login page, which answers 200, would tell a monitor that all is well.
    no_sweep()
    assert client.get("/health/").json() == {"status": "trouble", "problems": 1}


def test_figures_make_no_more_queries_than_they_say(
    egnyte_account: EgnyteAccount, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(25):
        assert monitoring.figures()["accounts_active"] == 1
