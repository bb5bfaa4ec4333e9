"""The troubleshooting pages have an entry for every problem."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_egnyte import exceptions
from django_egnyte.choices import EventKind, Status
from django_egnyte.conf import LEASE, conf
from django_egnyte.services import status

from .docpages import DOCS, PACKAGE, needs_docs, page

pytestmark = needs_docs

TROUBLE = page("troubleshooting.rst") if DOCS.exists() else ""


def entries(text: str, indent: str = "") -> list[str]:
    """The terms of the definition lists."""
    return re.findall(rf"^{indent}(\S.*)\n{indent}   \S", text, re.M)


def section(title: str, underline: str = "-") -> str:
    text = TROUBLE.split(f"\n{title}\n{underline * len(title)}\n")[1]
    return re.split(r"\n.+\n---+\n", text)[0]


def everything_wrong() -> status.Overview:
    """An overview in which each problem is reported, with each number the same."""
    values: dict[str, Any] = dict.fromkeys((field.name for field in fields(status.Overview)), 7)
    values |= {"refreshes_in_horizon": 8, "last_sweep_seconds": 7 * 3600, "key_missing": ""}
    host = {"host": "acme.egnyte.com", "failures": status.FAILURES_OF_AN_HOUR}
    values |= {"key_held_off_at": [host] * 7, "hosts_held_off": [host]}
    return status.Overview(**values)


def test_every_problem_of_the_status_has_its_entry() -> None:
    never = everything_wrong()
    never.last_sweep_seconds = None
    with override_settings(EGNYTE_CLIENT_ID=""), pytest.raises(ImproperlyConfigured) as missing:
        assert conf.client_id
    there = {
        re.sub(r"\d+", "N", text)
        for text in [*status._problems(everything_wrong()), *status._problems(never)]
    }
    assert len(there) >= 9
    said = [entry.strip('"') for entry in entries(section("What ``egnyte_status`` reports"))]
    assert set(said) == there | {str(missing.value)}


def test_every_exception_has_its_entry() -> None:
    said = re.findall(r"^``(\w+Error)``", "\n".join(entries(section("Exceptions"))), re.M)
    assert len(said) == len(set(said))
    assert set(said) == {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }


def test_retryable_exceptions_and_statuses_are_marked() -> None:
    for entry in entries(section("Exceptions")):
        found = re.match(r"``(\w+Error)``(?: \((\w+)\))?$", entry)
        if found is None:
            continue
        kind = getattr(exceptions, found[1])
        assert kind.retryable is (found[2] == "retryable"), entry
        if (found[2] or "").isdigit():
            assert kind.status == int(found[2])


def logged() -> Iterator[tuple[str, set[int]]]:
    """Each event that the package logs, and the levels."""
    calls = {"exception": "ERROR"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            extra = next((each.value for each in node.keywords if each.arg == "extra"), None)
            if not isinstance(extra, ast.Dict):
                continue
            said = {key.value: value for key, value in zip(extra.keys, extra.values, strict=True)
                    if isinstance(key, ast.Constant)}  # fmt: skip
            event = said.get("event")
            if isinstance(event, ast.Constant):
                level = calls.get(node.func.attr, node.func.attr).upper()
                levels = logging.getLevelNamesMapping()
                # ``logger.log`` chooses its level when it is called.
                at = {levels[level]} if level in levels else {logging.WARNING, logging.ERROR}
                yield str(event.value), at


def test_every_log_event_has_its_entry_with_its_level() -> None:
    there: dict[str, set[int]] = {}
    for event, levels in logged():
        there.setdefault(event, set()).update(levels)
    assert len(there) > 20
    said: dict[str, set[int]] = {}
    for entry in entries(section("Log events")):
        names = re.findall(r"``(\w+)``", entry)
        level = re.findall(r"debug|info|warning|error|critical", entry.split("(")[1])
        for name in names:
            said[name] = {logging.getLevelNamesMapping()[each.upper()] for each in level}
    # The history is logged as it is written, with a level that one entry tells.
    history = {kind.value for kind in EventKind} - there.keys()
    assert {name: levels for name, levels in said.items() if name not in history} == there


def test_every_status_has_its_section_and_its_words() -> None:
    text = page("account-states.rst")
    for each in Status:
        name = each.value.title()
        assert f"\n{name}\n{'-' * len(name)}\n" in text
        assert f"* - ``{each.value}``\n" in text
        assert f"\n   {each.value}\n" in page("glossary.rst")


def test_the_times_that_the_pages_name_are_those_of_the_code() -> None:
    assert f"after {LEASE} seconds" in page("glossary.rst")


def test_the_history_and_the_signals_of_the_transitions_are_there() -> None:
    from django_egnyte import signals

    table = page("account-states.rst").split("From one status to another")[1].split("Only the")[0]
    named = re.findall(r"Event ``(\w+)``, (?:signal ``(\w+)``|no signal)\.", table)
    assert len(named) == 7
    for event, signal in named:
        assert event in EventKind.values
        assert not signal or hasattr(signals, signal)


@pytest.mark.parametrize("name", ["account-states.rst", "troubleshooting.rst"])
def test_texts_quoted_from_pages_are_texts_of_pages(name: str) -> None:
    """In “…”. The texts that are translated are all texts that users see."""
    messages = (PACKAGE / "locale" / "de" / "LC_MESSAGES" / "django.po").read_text()
    texts = [
        "".join(re.findall(r'"(.*)"', block))
        for block in re.findall(r"^msgid ((?:\".*\"\n)+)", messages, re.M)
    ]
    patterns = [re.sub(r"%\\?\(\w+\\?\)s", ".+", re.escape(text)) for text in texts if text]
    quoted = [" ".join(text.split()) for text in re.findall(r"“(.*?)”", page(name), re.S)]
    assert len(quoted) > 5
    for text in quoted:
        whole = any(re.fullmatch(pattern, text) for pattern in patterns)
        assert whole or any(text in each for each in texts), text
