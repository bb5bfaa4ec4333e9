"""A pytest plugin: which tests pass, how long each takes, and which lines it reaches.

It writes two files. Their path without the ending is in ``BASELINE``, in the environment. ``.json``
has the seconds of each test that passed. In ``.coverage``, each test is a context.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

_path = os.environ["BASELINE"]
os.environ["COVERAGE_CORE"] = "ctrace"  # the only one that has contexts
_data = f"{_path}.coverage"
_measured = Coverage(data_file=_data, include=["*/django_egnyte/*"], config_file=False)
_measured.start()
_seconds: Counter[str] = Counter()
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _measured.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        _measured.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] += report.duration
    if not report.passed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    _measured.stop()
    _measured.save()
    passed = {name: seconds for name, seconds in _seconds.items() if name not in _failed}
    Path(f"{_path}.json").write_text(json.dumps(passed))
