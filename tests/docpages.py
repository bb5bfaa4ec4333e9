"""The pages of the docs, and their code blocks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import django_egnyte

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGE = Path(django_egnyte.__file__).parent
PAGES = sorted(DOCS.rglob("*.rst"))
READABLE = [*PAGES, *(path for path in [ROOT / "README.rst"] if path.exists())]

needs_docs = pytest.mark.skipif(not PAGES, reason="docs/ is not beside the tests")


def page(name: str) -> str:
    return (DOCS / name).read_text()


@dataclass
class Block:
    language: str  # the language of a code block, or "check"
    options: dict[str, str]
    code: str
    line: int


def blocks(path: Path) -> Iterator[Block]:
    """The code blocks and hidden checks of a page, in order."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        found = re.fullmatch(r"( *)\.\. (?:code-block:: ([\w-]+)|(check))", line)
        if found is None:
            continue
        body: list[str] = []
        for below in lines[number + 1 :]:
            if below.strip() and len(below) - len(below.lstrip()) <= len(found[1]):
                break
            body.append(below)
        text = textwrap.dedent("\n".join(body)).strip("\n").split("\n")
        options: dict[str, str] = {}
        while text and (option := re.fullmatch(r":(\w+): *(.*)", text[0])):
            options[option[1]] = option[2]
            text.pop(0)
        code = "\n" * (number + 1 + len(options)) + "\n".join(text).strip("\n") + "\n"
        yield Block(found[2] or "check", options, code, number + 1)


def code_of(path: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(path) if block.language in languages]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def settings_of_the_code() -> set[str]:
    return set(re.findall(r'"(EGNYTE_[A-Z_]+)"', (PACKAGE / "conf.py").read_text()))
