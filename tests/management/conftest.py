from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class

from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/management/" in item.path.as_posix():
            item.add_marker(pytest.mark.django_db(transaction=True))


@dataclass
class Ran:
    """The output and the exit code of a command. ``error`` is the message of ``CommandError``."""

    out: str
    err: str
    error: str
    code: int


@pytest.fixture
def run() -> Callable[..., Ran]:
    """Runs a command, and records a ``CommandError`` with its exit code."""

    def run(name: str, *args: str, **options: Any) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        error, code = "", 0
        try:
            call_command(name, *args, stdout=out, stderr=err, **options)
        except CommandError as caught:
            error, code = str(caught), caught.returncode
        return Ran(out.getvalue(), err.getvalue(), error, code)

    return run


def listing(*accounts: EgnyteAccount) -> str:
    """The lines of ``--dry-run`` for these accounts."""
    return "".join(
        f"{each.pk:>8}  {each.username} @ {each.domain}  ({each.user.get_username()}, active)\n"
        for each in accounts
    )


@pytest.fixture
def exit_code(capsys: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """The exit code of ``manage.py name ...``. Its output is in ``capsys``."""

    def exit_code(name: str, *args: str) -> int:
        command = load_command_class("django_egnyte", name)
        try:
            command.run_from_argv(["manage.py", name, *args])
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return exit_code


@pytest.fixture
def make_user(django_user_model: Any, django_username_field: str) -> Callable[[str], Any]:
    def make(name: str) -> Any:
        value = f"{name}@example.com" if "email" in django_username_field else name
        return django_user_model.objects.create(**{django_username_field: value})

    return make


@pytest.fixture
def accounts(egnyte_sandbox: Any, make_user: Callable[[str], Any]) -> list[EgnyteAccount]:
    """jsmith and bdoe at acme, linked by one user, and mmiller at globex by another."""
    one, two = make_user("one"), make_user("two")
    return [
        link_account(egnyte_sandbox, one),
        link_account(egnyte_sandbox, one, username="bdoe"),
        link_account(egnyte_sandbox, two, domain="globex", username="mmiller"),
    ]
