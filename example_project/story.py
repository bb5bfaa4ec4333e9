"""The steps of ``run.py --check``. Each step is printed when it has succeeded."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from browser import Browser, Page
from processes import Processes, direct

REVOKED = "No longer connected"
CONNECTED = "Connected to acme.egnyte.com"
TEXT = b"Written by the example's check.\n"


class Broken(Exception):
    """A step has failed. The message says which and why."""


def tell(processes: Processes, start: Callable[[], None], site: str, sandbox: str) -> None:
    """Walk through the story. Raises ``Broken``."""
    browser = Browser()

    with step("sandbox, worker, beat and site start"):
        start()

    with step("the user logs in"):
        page = browser.submit(browser.get(f"{site}/login/"), "", username="demo", password="demo")
        expect("Connect Egnyte", page)

    with step("connects, and consents at Egnyte"):
        # A legacy token, without a refresh token. With one, the request itself would find out
        # that both are revoked, and the worker would have nothing to do.
        control(sandbox, "policy", style="legacy")
        page = browser.submit(browser.get(f"{site}/egnyte/connect/"), "/connect/", domain="acme")
        expect("Let Sandbox application use your Egnyte account?", page)
        page = consent(browser, page, "demo-password-1")
        expect(CONNECTED, page)
        expect("jsmith at acme.egnyte.com", page)
        first = only_grant(sandbox)

    with step("lists and downloads a file through request.egnyte"):
        page = browser.get(f"{site}/files/")
        expect("report 2024.txt", page)
        file = browser.get(page.link("path=/Shared/report"))
        same(file.body, b"Quarterly figures: all good.\n", "the file's content")
        browser.get(page.link("path=/Shared/Documents"))

    with step("uploads a file, makes a folder, and deletes both"):
        page = browser.submit(page, "/upload/", file=("check & co.txt", TEXT))
        expect("check & co.txt was uploaded.", page)
        same(browser.get(page.link("path=/Shared/check")).body, TEXT, "the file's content")
        page = browser.submit(page, "/new-folder/", name="Check 50%")
        expect("The folder Check 50% was created.", page)
        for path in ("/Shared/check & co.txt", "/Shared/Check 50%"):
            page = browser.submit(page, "/delete/", path=path)
            expect("was deleted.", page)

    with step("is told in words what Egnyte refuses"):
        page = browser.get(f"{site}/files/?path=/Shared/nowhere")
        same(page.status, 404, "the status")
        expect("Egnyte has no such file or folder", page)

    with step("beat sends the sweeps, and the worker does them"):
        processes.wait_until(lambda: did(processes, "process_revocations"), "no sweep was done", 20)

    with step("the password is changed at Egnyte: a 401 asks the user to connect again"):
        control(sandbox, "password", domain="acme", username="jsmith", password="another-one-1")
        page = browser.get(f"{site}/files/")
        expect("Reconnect jsmith", page)

    with step("the worker finds the token dead, and the account is marked as revoked"):
        accounts = f"{site}/egnyte/"
        processes.wait_until(
            lambda: REVOKED in browser.get(accounts).text, "the account is not marked", 20
        )
        processes.wait_until(lambda: did(processes, "validate_account"), "by no task", 5)

    with step("the user reconnects with the new password"):
        page = browser.submit(browser.get(accounts), "/connect/")
        control(sandbox, "policy", style="modern")
        page = consent(browser, page, "another-one-1")
        expect(CONNECTED, page)
        if REVOKED in page.text:
            raise AssertionError("the account is still marked as revoked")
        second = only_grant(sandbox)
        if first & second:
            raise AssertionError("the old token lives")
        expect("report 2024.txt", browser.get(f"{site}/files/"))

    with step("a token that expires is refreshed, and the user sees nothing of it"):
        for token in control(sandbox, "tokens")["tokens"]:
            if token["kind"] == "access":
                control(sandbox, "expire", fingerprint=token["fingerprint"])
        expect("report 2024.txt", browser.get(f"{site}/files/"))
        third = only_grant(sandbox) | second

    with step("the administrator sees the account"):
        admin = Browser()
        login = admin.get(f"{site}/admin/login/?next=/admin/django_egnyte/egnyteaccount/")
        page = admin.submit(login, "", username="admin", password="admin")
        expect("jsmith", page)

    with step("the user disconnects"):
        page = browser.submit(browser.get(accounts), "/disconnect/")
        expect("jsmith at acme.egnyte.com was disconnected.", page)
        expect("No account is connected yet", page)

    with step("every token is dead at Egnyte, because the worker revoked it there"):
        processes.wait_until(
            lambda: not any(alive(sandbox, token) for token in third), "the token lives", 20
        )
        if not control(sandbox, "stats")["counts"].get("revoke"):
            raise AssertionError("nobody asked Egnyte to revoke it")

    processes.ensure_running()


@contextlib.contextmanager
def step(words: str) -> Iterator[None]:
    """Print the step if ``holds``, else raise ``Broken``."""
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        print(f"FAILED  {words}", flush=True)
        raise Broken(f"{words}: {type(error).__name__}: {error}") from error
    print(f"ok  {words} ({time.monotonic() - started:.1f} s)", flush=True)


def expect(words: str, page: Page) -> None:
    if words not in page.text:
        where = page.url.partition("?")[0]
        raise AssertionError(f"{words!r} is not on {where} ({page.status}): {page.text[:600]}")


def same(got: object, wanted: object, what: str) -> None:
    if got != wanted:
        raise AssertionError(f"{what} is {got!r}, not {wanted!r}")


def consent(browser: Browser, page: Page, password: str) -> Page:
    return browser.submit(page, "/decision", username="jsmith", password=password, decision="allow")


def did(processes: Processes, task: str) -> bool:
    log = processes.log("worker")
    return any(f"django_egnyte.tasks.{task}[" in line and " succeeded " in line
               for line in log.splitlines())  # fmt: skip


def only_grant(sandbox: str) -> set[str]:
    """The fingerprints of the tokens that are valid at Egnyte. They must be of one grant."""
    tokens = control(sandbox, "tokens")
    same(tokens["grants"], 1, "the number of live grants")
    return set(tokens["fingerprints"])


def alive(sandbox: str, fingerprint: str) -> bool:
    answer: bool = control(sandbox, f"alive?fingerprint={fingerprint}")["alive"]
    return answer


def control(sandbox: str, endpoint: str, **body: str) -> dict[str, Any]:
    """Call the sandbox's control API: a POST with a body, or else a GET."""
    request = urllib.request.Request(
        f"{sandbox}/_sandbox/{endpoint}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    with direct.open(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
