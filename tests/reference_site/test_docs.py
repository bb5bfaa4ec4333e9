"""The pages "Use it with …": their code is run in the reference site."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rest_framework.views  # noqa: F401 - reads its defaults once: the site's, not a page's
from asgiref.sync import async_to_sync
from django.test import Client, RequestFactory
from django.urls import include
from django.urls import path as django_path

from django_egnyte.middleware import EgnyteMiddleware
from django_egnyte.pytest_plugin import link_account
from tests.docpages import DOCS, code_of, names, needs_docs

pytestmark = needs_docs

PAGES = sorted(DOCS.glob("with/*.rst"))


@pytest.fixture
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    """``mysite``, with the modules that the page has shown so far."""
    for name in ("mysite", "mysite.views", "mysite.adapters"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_home")
@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_the_code_of_a_page_runs(
    path: Path, client: Client, egnyte_account: Any, egnyte_sandbox: Any, settings: Any
) -> None:
    user = egnyte_account.user
    client.force_login(user)
    settings.ROOT_URLCONF = (django_path("egnyte/", include("django_egnyte.urls")),)

    def request_of(url: str, **kwargs: Any) -> Any:
        request: Any = RequestFactory().get(url, **kwargs)
        request.user = user
        request.session = client.session
        return request

    def visit(view: Any, url: str = "/", **kwargs: Any) -> Any:
        """The answer of a view, called below the app's middleware."""
        return EgnyteMiddleware(view)(request_of(url, **kwargs))

    def avisit(view: Any, url: str = "/") -> Any:
        async def chain(request: Any) -> Any:
            return await view(request)

        return async_to_sync(EgnyteMiddleware(chain))(request_of(url))

    def begin() -> str:
        return str(client.post("/egnyte/connect/", {"domain": "acme"})["Location"])

    space: dict[str, Any] = {
        "__name__": "page", "account": egnyte_account, "avisit": avisit, "begin": begin,
        "client": client, "json": json, "link_account": link_account, "os": os,
        "pytest": pytest, "sandbox": egnyte_sandbox, "user": user, "visit": visit,
    }  # fmt: skip
    blocks = list(code_of(path, "python", "check"))
    assert any(block.language == "check" for block in blocks), "the page must check its examples"
    for block in blocks:
        code = compile(block.code, str(path), "exec")
        kind = block.options.get("caption", "")
        if block.options.get("class") == "fragment":
            continue
        if kind.endswith("settings.py"):
            configure(code, settings)
        elif kind.endswith("urls.py"):
            settings.ROOT_URLCONF = urls_of(code)
        else:
            exec(code, space)
            for name in ("mysite.views", "mysite.adapters"):
                vars(sys.modules[name]).update(space)


def configure(code: Any, settings: Any) -> None:
    """The block works as settings, which stay in force. The lists that it extends exist already."""
    space = {name: list(getattr(settings, name)) for name in ("INSTALLED_APPS", "MIDDLEWARE")}
    there = {name: set(each) for name, each in space.items()}
    space["os"] = os  # type: ignore[assignment]
    exec(code, space)
    for name, apps in there.items():
        assert set(space.pop(name)) == apps
    for name, value in space.items():
        if name.isupper():
            setattr(settings, name, value)


def urls_of(code: Any) -> Any:
    space: dict[str, Any] = {"urlpatterns": [django_path("egnyte/", include("django_egnyte.urls"))]}
    exec(code, space)
    return tuple(space["urlpatterns"])
