"""The pages of the areas name each operation, parameter, option and field of the code."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from typing import Any, is_typeddict

import pytest

from django_egnyte.api import areas
from django_egnyte.api.areas import Areas
from django_egnyte.api.areas.base import Area
from django_egnyte.api.areas.records import Record

from .docpages import DOCS, needs_docs, page
from .test_docs_reference import parameters_of

pytestmark = needs_docs

MODULES = [
    importlib.import_module(f"{areas.__name__}.{found.name}")
    for found in pkgutil.iter_modules(areas.__path__)
]
MEMBERS = {
    value
    for module in MODULES
    for value in vars(module).values()
    if inspect.isclass(value) and value.__module__ == module.__name__
}
AREAS = sorted(
    (
        kind
        for kind in MEMBERS
        if issubclass(kind, Area) and any(name[0] != "_" for name in vars(kind) if name != "scope")
    ),
    key=lambda kind: kind.__name__,
)
TEXT = {path.name: path.read_text() for path in sorted((DOCS / "areas").glob("*.rst"))}
ALL = "\n".join(TEXT.values())


def public(kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(kind).items()
        if (name[0] != "_" or name == "__call__")
        and inspect.isfunction(value)
        and not inspect.iscoroutinefunction(value)
    }


@pytest.mark.parametrize("kind", [*AREAS, Areas], ids=lambda kind: kind.__name__)
def test_each_operation_is_on_a_page_with_its_parameters(kind: type) -> None:
    if kind.__name__ in ("WebSession", "Whoami"):
        return  # Methods of the client: see Areas.
    start = rf"\.\. py:class:: {re.escape(kind.__module__)}\.{kind.__name__}\n"
    section = re.split(r"\.\. py:class::", re.split(start, ALL)[1])[0]
    said = dict(re.findall(r"\.\. py:method:: (\w+)\((.*)\)\n", section))
    assert said == {name: parameters_of(value) for name, value in public(kind).items()}


@pytest.mark.parametrize(
    "kind",
    sorted(
        (kind for kind in MEMBERS if is_typeddict(kind) or issubclass(kind, Record)),
        key=lambda kind: kind.__name__,
    ),
    ids=lambda kind: kind.__name__,
)
def test_each_option_and_field_is_on_a_page(kind: Any) -> None:
    names = (
        kind.__annotations__
        if is_typeddict(kind)
        else [field.name for field in dataclasses.fields(kind) if field.name != "raw"]
    )
    for name in names:
        assert f"``{name}``" in ALL, name


def test_each_attribute_and_its_scope_are_in_the_table() -> None:
    rows = dict(re.findall(r"\* - ``(\w+)``\n     - ``(Egnyte\.\w+)``", TEXT["index.rst"]))
    rows.pop("files")
    assert rows == {
        name: getattr(Areas, name).scope
        for name in vars(Areas)
        if isinstance(getattr(Areas, name), type)
    }


def test_a_page_begins_with_code() -> None:
    for name, text in TEXT.items():
        assert ".. code-block:: python" in text.split("Reference\n---------")[0][:900], name
    assert page("guides/storage.rst").index(".. code-block::") < 300
