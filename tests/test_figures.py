"""The figures of ``tox -e figures`` that need no measurement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmarks import figures


def names(requirements: Sequence[Requirement]) -> set[str]:
    return {figures.canonical(each.name) for each in requirements}


def test_what_extras_and_other_systems_need_is_not_counted() -> None:
    metadata = """Metadata-Version: 2.4
Name: example
Requires-Dist: Django>=5.2
Requires-Dist: colorama; sys_platform == "no-such-system"
Requires-Dist: pytest; extra == "test"

Requires-Dist: not-a-header
"""
    assert names(figures.requirements(metadata)) == {"django"}


def test_what_django_brings_is_what_its_metadata_says() -> None:
    metadata = distribution("django").read_text("METADATA")
    assert metadata is not None
    direct = figures.requirements(metadata)
    assert {"asgiref", "sqlparse"} <= names(direct)
    assert not names(direct) & {"argon2-cffi", "bcrypt"}  # extras


def test_the_requirements_of_requirements_are_counted_once() -> None:
    direct = [Requirement("Django"), Requirement("celery"), Requirement("requests")]
    every = figures.brought(direct)
    assert names(direct) | {"asgiref", "sqlparse", "kombu", "vine", "certifi"} <= every
    assert not every & {"pytest", "redis", "pysocks"}
    assert "redis" in figures.brought([Requirement("celery[redis]")])


def test_a_mutation_score_is_the_share_of_the_killed(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    assert figures.mutation(path) == "never measured"
    score = {"date": "2026-11-25", "mutants": 200, "killed": 190, "explained": 7, "survived": 3}
    path.write_text(json.dumps(score))
    assert figures.mutation(path).startswith("95.0 % (2026-11-25: 190 of 200 killed, 7 explained")


def test_tests_that_fail_measure_no_coverage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(figures.subprocess, "run", lambda command, **options: ran.append(command))
    assert figures.covered(tmp_path / ".coverage") == "not measured: the tests failed"
    assert [(command[1].name, *command[2:]) for command in ran] == [("run.py", "--coverage")]
