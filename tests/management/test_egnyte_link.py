from __future__ import annotations

import getpass
import io
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant
from django_egnyte.services.revoke import process_revocations

SECRET = " c0rrect <horse> & ünïcödé "


@pytest.fixture
def internal(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"
    egnyte_sandbox.set_password("acme", "jsmith", SECRET)
    return egnyte_sandbox


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def user(make_user: Callable[[str], Any]) -> Any:
    return make_user("one")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "", "\nanother line\n"])
def test_a_password_from_standard_input_links_the_user(
    run, internal, user, stdin, ending, settings
) -> None:
    settings.EGNYTE_SCOPES = ["Egnyte.filesystem", "Egnyte.link"]
    stdin(SECRET + ending)
    ran = run("egnyte_link", user.get_username(), "--domain", "acme", "--username", "jsmith")
    assert (ran.code, ran.error) == (0, "")
    assert ran.out == f"Linked {user.get_username()} to jsmith @ acme.egnyte.com.\n"
    account = EgnyteAccount.objects.get()
    assert (account.user, account.flow) == (user, "password")
    assert account.scopes == ["Egnyte.filesystem", "Egnyte.link"]
    assert internal.is_alive(account.open_token())
    assert AccountEvent.objects.get(kind="connected").actor == "command"


def test_on_a_terminal_the_password_is_asked_for(
    run, internal, user, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return SECRET

    monkeypatch.setattr(sys, "stdin", Terminal("not this\n"))
    monkeypatch.setattr(getpass, "getpass", ask)
    ran = run("egnyte_link", user.get_username(), "--domain", "acme", "--username", "jsmith")
    assert ran.code == 0
    assert asked == ["Egnyte password: "]
    assert EgnyteAccount.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--password", SECRET], [f"--password={SECRET}"], ["-p", SECRET], [SECRET]]
)
def test_the_password_is_never_an_argument(
    exit_code, internal, user, stdin, capsys, arguments
) -> None:
    """Every user of the machine sees the arguments of every process."""
    stdin(SECRET)
    command = [user.get_username(), "--domain", "acme", "--username", "jsmith"]
    assert exit_code("egnyte_link", *command, *arguments) == 2
    assert "unrecognized arguments" in capsys.readouterr().err
    assert internal.counts["token"] == 0
    assert exit_code("egnyte_link", "--help") == 0
    assert "--password" not in capsys.readouterr().out


def test_the_domain_need_not_be_given_where_it_is_fixed(
    run, internal, user, stdin, settings
) -> None:
    settings.EGNYTE_DOMAIN = "acme"
    stdin(SECRET)
    assert run("egnyte_link", user.get_username(), "--username", "jsmith").code == 0
    stdin(SECRET)
    ran = run("egnyte_link", user.get_username(), "--domain", "globex", "--username", "jsmith")
    assert ran.code == 1
    assert "Only one domain may be linked" in ran.error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody", "--domain", "acme", "--username", "jsmith"], "This site has no user 'nobody'"),
        (["USER", "--username", "jsmith"], "Give --domain, or set EGNYTE_DOMAIN."),
        (["USER", "--domain", "evil.com", "--username", "jsmith"], "not the host"),
        (["USER", "--domain", "www", "--username", "jsmith"], "own services"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(
    run, internal, user, stdin, arguments, words
) -> None:
    stdin(SECRET)
    arguments = [user.get_username() if each == "USER" else each for each in arguments]
    ran = run("egnyte_link", *arguments)
    assert ran.code == 1
    assert words in ran.error
    assert internal.counts["token"] == 0


@pytest.mark.parametrize("text", ["", "\n", "\r\n"])
def test_no_password_is_an_error(run, internal, user, stdin, text) -> None:
    stdin(text)
    ran = run("egnyte_link", user.get_username(), "--domain", "acme", "--username", "jsmith")
    assert (ran.code, ran.error) == (1, "The password is empty. Nothing was linked.")
    assert internal.counts["token"] == 0


def link(run: Any, user: Any, stdin: Any, password: str = SECRET) -> Any:
    stdin(password + "\n")
    return run("egnyte_link", user.get_username(), "--domain", "acme", "--username", "jsmith")


def test_a_wrong_password_is_said_with_a_hint(run, internal, user, stdin) -> None:
    ran = link(run, user, stdin, "wr0ng-password")
    assert ran.code == 1
    assert ran.error.startswith("InvalidCredentialsError: ")
    assert "EGNYTE_CLIENT_SECRET" in ran.error
    assert "wr0ng" not in ran.error + ran.out + ran.err
    assert not EgnyteAccount.objects.exists()
    event = AccountEvent.objects.get()
    assert (event.kind, event.actor) == ("link_failed", "command")


def test_five_wrong_passwords_are_enough(run, internal, user, stdin) -> None:
    for _ in range(5):
        assert "InvalidCredentialsError" in link(run, user, stdin, "wrong").error
    assert "TooManyFailuresError" in link(run, user, stdin).error
    assert internal.counts["token:password"] == 5


@pytest.mark.parametrize(
    ("key", "error"),
    [("sandbox-code-key", "GrantTypeError"), ("sandbox-implicit-key", "ImplicitKeyError")],
)
def test_a_key_of_another_kind_is_explained(
    run, internal, user, stdin, settings, key, error
) -> None:
    settings.EGNYTE_CLIENT_ID = key
    ran = link(run, user, stdin)
    assert ran.error.startswith(f"{error}: ")
    assert "EGNYTE_" in ran.error


@pytest.mark.parametrize(
    ("fault", "error"),
    [({"status": 503}, "UnavailableError"), ({"malformed": True}, "ResponseError")],
)
def test_egnytes_trouble_is_an_error_and_leaves_no_token(
    run, internal, user, stdin, fault, error
) -> None:
    internal.faults.add(path="^/puboauth/token", method="POST", **fault)
    assert link(run, user, stdin).error.startswith(f"{error}: ")
    assert not EgnyteAccount.objects.exists()
    process_revocations()
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert internal.live_tokens() == []


def test_the_password_is_in_no_log(run, internal, user, stdin, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    internal.set_password("acme", "jsmith", "easy-to-find-4711")
    link(run, user, stdin, "wr0ng-password")
    assert link(run, user, stdin, "easy-to-find-4711").code == 0
    records = [f"{record.__dict__}" for record in caplog.records]
    assert not [each for each in records if "easy-to-find" in each or "wr0ng-password" in each]


def test_an_existing_account_gets_a_new_token(run, internal, user, stdin) -> None:
    link(run, user, stdin)
    first = EgnyteAccount.objects.with_token().get()
    link(run, user, stdin)
    second = EgnyteAccount.objects.get()
    assert second.pk == first.pk and second.token_id != first.token_id
    process_revocations()
    assert not internal.is_alive(first.open_token())
    assert internal.is_alive(second.open_token())
