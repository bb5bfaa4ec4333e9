from __future__ import annotations

import dataclasses
from typing import Any

import pytest


def assert_stays_as_made(kind: Any) -> None:
    """What has been checked, proved or locked cannot be changed, nor be given a name more."""
    names = [field.name for field in dataclasses.fields(kind)]
    value = kind(**dict.fromkeys(names))
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "another")
    assert not hasattr(value, "__dict__")
