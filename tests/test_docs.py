"""The Python code of the docs runs. See also ``test_docs_reference``.

In a page, every ``python`` block is run, one after the other, in one namespace. Comments that begin
with ``.. check`` hold what a reader need not see: they are run, too. A block of settings is checked
as settings; ``:class: fragment`` marks what is only compiled.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.conf import global_settings
from django.contrib.auth import get_user_model
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.db import SessionStore
from django.core import checks
from django.core.management import load_command_class
from django.template import engines
from django.test import RequestFactory, override_settings
from django.urls import reverse

from django_egnyte import exceptions, pytest_plugin
from django_egnyte.middleware import EgnyteMiddleware
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account

from .docpages import PAGES, READABLE, Block, code_of, names, needs_docs, settings_of_the_code

pytestmark = needs_docs

# Those under with/ are run in the reference site.
WITH_CODE = [
    path for path in PAGES if path.parent.name != "with" and code_of(path, "python", "check")
]


@dataclass
class Stage:
    """The initial namespace of a page's code."""

    user: Any
    account: EgnyteAccount
    sandbox: Any

    def request(self, path: str, user: Any) -> Any:
        request: Any = RequestFactory().get(path, headers={"Accept": "text/html"})
        request.user = user
        request.session = SessionStore()
        request._messages = FallbackStorage(request)
        return request

    def visit(self, view: Any, path: str = "/", **kwargs: Any) -> Any:
        """The answer of a view, called below the app's middleware."""
        request = self.request(path, self.user)
        return EgnyteMiddleware(lambda request: view(request, **kwargs))(request)

    def avisit(self, view: Any, path: str = "/") -> Any:
        """The same for an asynchronous view."""
        request = self.request(path, self.user)

        async def chain(request: Any) -> Any:
            return await view(request)

        return async_to_sync(EgnyteMiddleware(chain))(request)

    def other_user(self) -> Any:
        model: Any = get_user_model()
        name = f"other{next(_numbers)}@example.com"
        return model._default_manager.create(**{model.USERNAME_FIELD: name})

    @contextmanager
    def linked(self, username: str) -> Iterator[EgnyteAccount]:
        yield link_account(self.sandbox, self.other_user(), username=username)


_numbers = count()


@pytest.fixture
def stage(transactional_db: None, egnyte_sandbox: Any, settings: Any, tmp_path: Path) -> Stage:
    """A linked user, and the templates that the pages show."""
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [tmp_path],
            "APP_DIRS": True,
        }
    ]
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    (tmp_path / "shared.html").write_text("{% for e in folder %}{{ e.name }}{% endfor %}")
    model: Any = get_user_model()
    user = model._default_manager.create(
        **{model.USERNAME_FIELD: "reader@example.com", "email": "reader@example.com"}
    )
    return Stage(user, link_account(egnyte_sandbox, user), egnyte_sandbox)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", WITH_CODE, ids=names(WITH_CODE))
def test_the_code_of_a_page_runs(path: Path, stage: Stage, settings: Any, tmp_path: Path) -> None:
    if path.name == "sdk.rst":
        pytest.importorskip("egnyte", reason="Egnyte's own SDK is not installed")
    for block in code_of(path, "django"):
        (tmp_path / Path(block.options.get("caption", "unnamed.html")).name).write_text(block.code)
    space = {
        "__name__": "page",
        "EgnyteError": exceptions.EgnyteError,
        "UnauthorizedError": exceptions.UnauthorizedError,
        "UnavailableError": exceptions.UnavailableError,
        "account": stage.account,
        "avisit": stage.avisit,
        "json": json,
        "linked": stage.linked,
        "other_user": stage.other_user,
        "pytest": pytest,
        "sandbox": stage.sandbox,
        "urlpatterns": [],
        "user": stage.user,
        "visit": stage.visit,
    }
    site: dict[str, Any] = {}
    try:
        for block in code_of(path, "python", "check"):
            code = compile(block.code, str(path), "exec")
            kind = block.options.get("caption", "")
            if block.options.get("class") == "fragment":
                continue
            if kind.endswith("settings.py"):
                check_settings(block, path, site)
            elif kind.endswith("urls.py"):
                settings.ROOT_URLCONF = check_urls(block, path, space)
            else:
                exec(code, space)
    finally:
        if path.name == "jobs.rst":
            from celery import current_app

            current_app.tasks.pop(getattr(space.get("count_files"), "name", ""), None)


def check_settings(block: Block, path: Path, space: dict[str, Any]) -> None:
    """The block works as settings, on top of the page's earlier ones, and no check objects."""
    if block.options.get("class") == "django-6" and django.VERSION < (6,):
        return
    space.setdefault("INSTALLED_APPS", ["django.contrib.auth", "django.contrib.sessions"])
    space.setdefault(
        "MIDDLEWARE",
        [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
    )
    key = "k" * 40
    environ = {"EGNYTE_ENCRYPTION_KEYS": key, "SECRET_KEY": key, "OLD_SECRET_KEY": key[::-1]}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        exec(compile(block.code, str(path), "exec"), space)
    named = {name: value for name, value in space.items() if name.isupper()}
    known = {name for name in dir(global_settings) if name.isupper()}
    known |= settings_of_the_code() | {"CELERY_BEAT_SCHEDULE", "CELERY_TASK_ROUTES"}
    known |= {"BEAT_SCHEDULE", "TASK_ROUTES", "CSP"}  # imported
    assert set(named) <= known
    ours = {name: value for name, value in named.items() if name.startswith("EGNYTE_")}
    ours.pop("EGNYTE_CIPHER", None)  # the second one needs an extra
    with override_settings(**ours):
        # Whether a schedule lacks the sweeps depends on the Celery app that other tests have made.
        found = checks.run_checks(tags=["egnyte"])
        assert [each for each in found if each.id != "egnyte.W006"] == []


def check_urls(block: Block, path: Path, space: dict[str, Any]) -> Any:
    """The block works as a URLconf. What a page calls ``mysite.views`` is its earlier code."""
    views = SimpleNamespace(**{name: value for name, value in space.items() if callable(value)})
    code = block.code.replace("from mysite import views", "")
    exec(compile(code, str(path), "exec"), space := {**space, "views": views})
    urlconf = tuple(space["urlpatterns"])
    assert reverse("egnyte:callback", urlconf=urlconf) == "/egnyte/callback/"
    return urlconf


@pytest.mark.parametrize("path", READABLE, ids=names(READABLE))
def test_what_code_imports_is_there(path: Path) -> None:
    for block in code_of(path, "python", "check"):
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django_egnyte"):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        assert importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_templates_compile(path: Path) -> None:
    for block in code_of(path, "django"):
        assert engines["django"].from_string(re.sub(r"{% extends .*? %}", "", block.code))


@pytest.mark.parametrize("path", READABLE, ids=names(READABLE))
def test_commands_take_what_the_page_gives_them(path: Path) -> None:
    said = [
        line
        for block in code_of(path, "console", "sh")
        for line in block.code.splitlines()
        if "manage.py egnyte_" in line
    ]
    said += re.findall(r"(?<!`)``(?:python\s+)?(manage\.py\s+egnyte_[^`]*)``", path.read_text())
    for line in said:
        words = shlex.split(line.strip("$ &"))
        name, *arguments = words[words.index("manage.py") + 1 :]
        parser = load_command_class("django_egnyte", name).create_parser("manage.py", name)
        assert parser.parse_args(arguments)


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_fixtures_named_are_fixtures(path: Path) -> None:
    """Names like ``egnyte_account`` in the code of a page are fixtures of the plugin."""
    known = {name for name in vars(pytest_plugin) if name.startswith("egnyte_")}
    for block in code_of(path, "python"):
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                asked = {each.arg for each in node.args.args if each.arg.startswith("egnyte_")}
                assert asked <= known
    if path.name == "testing.rst":
        assert known == set(re.findall(r"\* - ``(egnyte_\w+)``", path.read_text()))
