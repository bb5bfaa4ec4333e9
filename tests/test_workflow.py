"""The workflow, tox.ini and the package's metadata name the same versions."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

pytestmark = pytest.mark.skipif(not WORKFLOW.exists(), reason="the workflow is not there")


def pairs() -> set[str]:
    """The pairs of versions in tox.ini's env_list, with its braces expanded."""
    lines = re.findall(r"^    (py\S+-dj\S+)$", (ROOT / "tox.ini").read_text(), re.M)
    parts = [[part.split(",") for part in re.split(r"[{}]", line)] for line in lines]
    return {"".join(each) for line in parts for each in itertools.product(*line)}


def jobs() -> list[str]:
    return re.findall(r"^ +- (py\d+-dj\S+)$", WORKFLOW.read_text(), re.M)


def test_every_pair_runs_on_every_database() -> None:
    wanted = {pair + database for pair in pairs() for database in ("", "-postgres", "-mariadb")}
    assert wanted <= set(jobs())
    assert len(jobs()) == len(set(jobs()))


def test_every_variant_runs_and_is_one_of_tox() -> None:
    factors = set(re.findall(r"^    ([a-z]+): ", (ROOT / "tox.ini").read_text(), re.M))
    assert {each for job in jobs() for each in job.split("-")[2:]} == factors
    assert {"-".join(job.split("-")[:2]) for job in jobs()} == pairs()


def test_the_classifiers_name_the_versions_that_run() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = "\n".join(project["classifiers"])
    versions = {part for pair in pairs() for part in pair.split("-")}
    pythons = re.findall(r"Python :: (\d)\.(\d+)$", named, re.M)
    djangos = re.findall(r"Django :: (\d)\.(\d)$", named, re.M)
    assert versions == {"py" + "".join(each) for each in pythons} | {
        "dj" + "".join(each) for each in djangos
    }
