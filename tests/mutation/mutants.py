"""The mutants: which code is changed, and which changes make no difference."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

PACKAGE = "django_egnyte"
MODULES = (
    *("services/*.py", "models.py", "managers.py", "oauth.py", "state.py", "ciphers.py"),
    *("django_cryptography.py", "middleware.py"),
)
# Cosmic Ray has an operator for each pair of arithmetic operators, and mistakes the star of
# ``*arguments`` for one. These few operators find as much.
OPERATORS = {
    f"core/{name}"
    for name in (
        *("AddNot", "ReplaceUnaryOperator_Delete_Not", "ReplaceOrWithAnd", "ReplaceAndWithOr"),
        *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer", "ExceptionReplacer"),
        *("RemoveDecorator", "ZeroIterationForLoop"),
        *("ReplaceContinueWithBreak", "ReplaceBreakWithContinue"),
        *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add"),
        *("ReplaceBinaryOperator_Mul_Add", "ReplaceBinaryOperator_Pow_Mul"),
        *("ReplaceBinaryOperator_BitOr_BitAnd", "ReplaceBinaryOperator_BitAnd_BitOr"),
        *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
        *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
        *("ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt"),
        *("ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_LtE_Gt"),
        *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_Gt_LtE"),
        *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_Lt_GtE"),
    )
}


def modules(root: Path) -> list[Path]:
    """The modules to change, relative to ``root``."""
    found = {path for name in MODULES for path in (root / PACKAGE).glob(name)}
    return sorted(path.relative_to(root) for path in found)


@dataclass(frozen=True)
class Mutant:
    """A change of one place."""

    path: Path
    """The path of the module, relative to the project."""
    before: str
    after: str
    first: int
    """Its first line, from 1."""
    last: int
    """The last line that the change affects. A decorator affects its whole function."""

    def __str__(self) -> str:
        return f"{self.path.as_posix()}:{self.first}: {self.change}"

    @property
    def key(self) -> str:
        """A name that is unique for this change of this version of the function."""
        names, first, last = _smallest(self.before, self.first)
        lines = self.before.splitlines()[first - 1 : last]
        text = "\0".join([str(self.path), *names, *lines, str(self.first - first), self.change])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def change(self) -> str:
        """``old line => new line``, its name in ``explained.json``, without a line number."""
        pairs = zip(self.before.splitlines(), self.after.splitlines(), strict=False)
        old, new = next((old, new) for old, new in pairs if old != new)
        return f"{old.strip()} => {new.strip()}"

    @property
    def is_explained(self) -> bool:
        """Whether ``explained.json`` says why no test can notice it."""
        return (self.path.as_posix(), self.change) in explained()


def every(root: Path, kept: Path) -> list[Mutant]:
    """All mutants that are valid programs and differ from the original in more than types.

    Making them takes minutes, so the folder ``kept`` has a file for each version of a module.
    """
    kept.mkdir(exist_ok=True)
    return [mutant for path in modules(root) for mutant in _of_module(root, path, kept)]


def _of_module(root: Path, path: Path, kept: Path) -> list[Mutant]:
    before = (root / path).read_text(encoding="utf-8")
    text = "\0".join([str(path), before, *sorted(OPERATORS)])
    file = kept / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    if not file.exists():
        file.write_text(json.dumps(list(_changes(root, path, before))))
    changes = [Mutant(path, before, *change) for change in json.loads(file.read_text())]
    different = {mutant.key: mutant for mutant in changes}.values()
    return sorted(different, key=lambda mutant: (mutant.first, mutant.after))


def _changes(root: Path, path: Path, before: str) -> Iterator[tuple[str, int, int]]:
    """The changed source, its first line, and the last one that shows the change."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(root),
        use_db(f"{folder}/work.sqlite", WorkDB.Mode.create) as db,
    ):
        init([path], db, {})
        specs = [spec for item in db.work_items for spec in item.mutations]
    for spec in specs:
        if spec.operator_name not in OPERATORS:
            continue
        try:
            after = mutate_code(before, get_operator(spec.operator_name)(), spec.occurrence)
            if after is None or _meaning(before) == _meaning(after):
                continue
        except (AttributeError, SyntaxError):
            # Cosmic Ray cannot handle dotted names of exceptions, and it mistakes the stars of
            # ``**arguments`` for an operator.
            continue
        first = spec.start_pos[0]
        yield after, first, _end_of_decorated(before, first) or spec.end_pos[0]


class _WithoutTypes(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.stmt:
        self.generic_visit(node)
        is_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return ast.Pass() if is_types else node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return node


def _end_of_decorated(source: str, line: int) -> int | None:
    """The last line of the function or class whose decorator is on this line."""
    for node in ast.walk(ast.parse(source)):
        for decorator in getattr(node, "decorator_list", ()):
            if decorator.lineno <= line <= decorator.end_lineno:
                return int(node.end_lineno)  # type: ignore[attr-defined]
    return None


def _smallest(source: str, line: int) -> tuple[list[str], int, int]:
    """The function in which this line stands, or else the statement: names, first and last line."""
    names, found = [], (line, line)
    body: list[ast.AST] = [_tree(source)]
    while body:
        node = body.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                lines = [child.lineno, *(each.lineno for each in _decorators(child))]
                if min(lines) <= line <= (child.end_lineno or 0):
                    found = (min(lines), child.end_lineno or 0)
                    names.append(getattr(child, "name", ""))
                    if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        body.append(child)
    return names, *found


def _decorators(node: ast.AST) -> list[ast.expr]:
    return getattr(node, "decorator_list", [])


@lru_cache(maxsize=64)
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


@lru_cache(maxsize=64)
def _meaning(source: str) -> str:
    return ast.dump(_WithoutTypes().visit(ast.parse(source)))


@lru_cache(maxsize=1)
def explained() -> dict[tuple[str, str], str]:
    """Why no test can notice a change: ``{(module, change): reason}``."""
    path = Path(__file__).with_name("explained.json")
    return dict(_entries(json.loads(path.read_text(encoding="utf-8"))))


def _entries(groups: list[dict[str, object]]) -> Iterator[tuple[tuple[str, str], str]]:
    for group in groups:
        for module, changes in dict(group["mutants"]).items():  # type: ignore[call-overload]
            for change in changes:
                yield (module, change), str(group["reason"])
