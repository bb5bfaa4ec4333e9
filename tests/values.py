from __future__ import annotations

import dataclasses
from typing import Any

import pytest


def assert_stays_as_made(kind: Any) -> None:
    """Assert that an object is immutable: no attribute can be changed or added."""
    names = [field.name for field in dataclasses.fields(kind)]
    value = kind(**dict.fromkeys(names))
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "another")
    assert not hasattr(value, "__dict__")
