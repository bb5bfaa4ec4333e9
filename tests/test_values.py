from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from django_egnyte.oauth import OAuthClient, TokenAnswer, UserInfo
from django_egnyte.services.leases import Lease
from django_egnyte.services.obtain import Obtained
from django_egnyte.services.revoke import _Claimed
from django_egnyte.state import Attempt


@pytest.mark.parametrize(
    "kind", [Attempt, Lease, OAuthClient, Obtained, TokenAnswer, UserInfo, _Claimed]
)
def test_a_value_stays_what_it_was_made_as(kind: Any) -> None:
    """What has been checked, proved or locked cannot be changed, nor given a name more."""
    names = [field.name for field in dataclasses.fields(kind)]
    value = kind(**dict.fromkeys(names))
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "another")
    assert not hasattr(value, "__dict__")
