"""``tests.typed_site``, which two type checkers check, uses every public name in the docs."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.management import get_commands

from django_egnyte import exceptions, pytest_plugin, urls
from django_egnyte.access import EgnyteHttpRequest, RequestClient
from django_egnyte.api import AsyncDownload, Download, File, Files, Folder, FolderListing, Rate
from django_egnyte.models import EgnyteAccount, EgnyteAccountQuerySet

from . import typed_site
from .docpages import DOCS, ROOT, blocks, needs_docs, page

SITE = Path(typed_site.__file__).parent
# The pages for developers of sites. "moving" uses internal names, which may change.
PROMISES = [
    *(path for path in DOCS.glob("reference/*.rst")),
    *(path for path in DOCS.glob("guides/*.rst") if path.stem != "moving"),
    *(DOCS / name for name in ("quickstart.rst", "tutorial.rst")),
]
# The names of objects in the site. Uses of their attributes count.
CALLED = {
    AsyncDownload: {"download"},
    Download: {"download"},
    EgnyteAccount: {"account"},
    EgnyteAccountQuerySet: {"objects"},
    EgnyteHttpRequest: {"request"},
    File: {"file"},
    Files: {"files"},
    Folder: {"folder"},
    FolderListing: {"listing"},
    Rate: {"rate"},
    RequestClient: {"client", "egnyte"},
}


def text_of(path: Path) -> str:
    """A page without the parts that its reader does not see."""
    lines = path.read_text().splitlines()
    for block in blocks(path):
        if block.language == "check":
            for number in range(block.line, len(block.code.splitlines())):
                lines[number] = ""
    return "\n".join(lines)


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]\w*", text))


def literals_of(text: str) -> set[str]:
    said = re.findall(r"``([^`]+)``", text) + re.findall(r"\.(\w+)\(", text)
    said += re.findall(r"\.\. py:(?:method|property|attribute):: (\w+)", text)
    return words_of(" ".join(said))


def named_modules(text: str) -> Iterator[ModuleType]:
    """The modules that the text names, alone or with a name in them."""
    for name in set(re.findall(r"\bdjango_egnyte(?:\.\w+)+", text)):
        parts = name.split(".")
        for end in range(len(parts), 1, -1):
            try:
                module = importlib.import_module(".".join(parts[:end]))
            except ImportError:
                continue
            yield module
            break


def made_in(module: ModuleType) -> set[str]:
    """The names that a module defines, or exports in ``__all__``."""
    names: set[str] = set(getattr(module, "__all__", ()))
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def is_fixture(name: str) -> bool:
    return name.startswith("egnyte_") and hasattr(pytest_plugin, name)


def attributes_of(kind: type) -> set[str]:
    """The attributes of the package's classes, without those of Python and Django."""
    names = set(inspect.signature(kind).parameters) if issubclass(kind, Exception) else set()
    others: set[str] = set()
    for each in kind.__mro__:
        ours = each.__module__.startswith("django_egnyte")
        (names if ours else others).update(vars(each), inspect.get_annotations(each))
    return names - others


def promised_names() -> set[str]:
    """``django_egnyte.<module>.<name>``."""
    text = "\n".join(text_of(path) for path in PROMISES)
    said = words_of(text)
    names = {
        f"{module.__name__}.{name}"
        for module in named_modules(text)
        if module is not urls  # a site uses URL names instead
        for name in made_in(module) & said
        if name != "logger" and not is_fixture(name)
    }
    for package in ("admin", "api", "sandbox"):
        module = importlib.import_module(f"django_egnyte.{package}")
        names |= {f"{module.__name__}.{name}" for name in module.__all__}
    return names


def promised_attributes() -> set[tuple[type, str]]:
    said = {
        name: literals_of(text_of(DOCS / "reference" / name))
        for name in ("client.rst", "models.rst")
    }
    found: set[tuple[type, str]] = set()
    for kind in CALLED:
        where = "models.rst" if kind.__module__.endswith(("models", "managers")) else "client.rst"
        found |= {(kind, name) for name in attributes_of(kind) & said[where]}
    return found


def promised_of_exceptions() -> set[str]:
    text = page("reference/exceptions.rst")
    names = set(re.findall(r"\.\. py:attribute:: (\w+)", text))
    for name, rest in re.findall(r"^   [│├└ ]*(\w+Error)\b(.*)", text, re.M):
        names |= words_of(rest) & attributes_of(getattr(exceptions, name))
    return names


def code_of_the_site() -> Iterator[ast.AST]:
    for path in SITE.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text()))


def imported() -> set[str]:
    return {
        f"{node.module}.{alias.name}"
        for node in code_of_the_site()
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def attributes_used() -> set[tuple[str, str]]:
    """Pairs of an object's name and its attribute: ``request.egnyte.get`` is two pairs."""
    pairs: set[tuple[str, str]] = set()
    for node in code_of_the_site():
        if isinstance(node, ast.Attribute):
            owner = node.value
            if isinstance(owner, ast.Name | ast.Attribute):
                pairs.add((owner.id if isinstance(owner, ast.Name) else owner.attr, node.attr))
    return pairs


def texts() -> set[Any]:
    return {node.value for node in code_of_the_site() if isinstance(node, ast.Constant)}


def test_every_module_of_the_site_can_be_imported() -> None:
    found = [each.name for each in pkgutil.walk_packages(typed_site.__path__, "tests.typed_site.")]
    assert len(found) == len([path for path in SITE.rglob("*.py") if path.parent / "x" > SITE]) - 1
    for name in found:
        assert importlib.import_module(name)


@needs_docs
def test_the_site_imports_every_name() -> None:
    promised = promised_names()
    assert {
        "django_egnyte.access.connect_url",
        "django_egnyte.ciphers.Cipher",
        "django_egnyte.decorators.egnyte_required",
        "django_egnyte.exceptions.LockedError",
        "django_egnyte.models.AccountEvent",
        "django_egnyte.signals.api_called",
        "django_egnyte.tasks.validate_batch",
    } <= promised
    assert sorted(promised - imported()) == []


@needs_docs
def test_the_site_uses_every_attribute() -> None:
    promised = promised_attributes()
    assert {kind for kind, _ in promised} == set(CALLED)
    used = attributes_used()
    missing = [
        f"{kind.__name__}.{name}"
        for kind, name in promised
        if not any((called, name) in used for called in CALLED[kind])
    ]
    assert sorted(missing) == []
    assert ("user", "egnyte_accounts") in used


@needs_docs
def test_the_site_uses_every_attribute_of_exceptions() -> None:
    promised = promised_of_exceptions()
    assert {"retryable", "retry_after", "kind", "reason", "user_hint", "status"} <= promised
    assert sorted(name for name in promised if ("error", name) not in attributes_used()) == []


def test_the_site_uses_every_fixture() -> None:
    fixtures = {name for name in vars(pytest_plugin) if is_fixture(name)}
    asked = {node.arg for node in code_of_the_site() if isinstance(node, ast.arg)}
    assert sorted(fixtures - asked) == []


def test_the_site_uses_every_address_and_command() -> None:
    addresses = {f"{urls.app_name}:{pattern.name}" for pattern in urls.urlpatterns}
    commands = {name for name, app in get_commands().items() if app == "django_egnyte"}
    assert sorted((addresses | commands) - texts()) == []


def test_both_type_checkers_read_the_site_strictly() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("pyproject.toml is not beside the tests")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["strict"] is True
    assert "tests/typed_site" in tools["mypy"]["files"]
    assert "tests/typed_site" in tools["pyright"]["include"]
    assert "tests/typed_site" in tools["pyright"]["strict"]
