from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.users import another_user, browser_of

from .steps import SECRET


@pytest.fixture
def another(django_user_model: Any, django_username_field: str, db: None) -> Client:
    """A test client in which another user of the site is logged in."""
    return browser_of(another_user(django_user_model, django_username_field))


@pytest.fixture
def enhanced(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_FLOW = "enhanced"
    return egnyte_sandbox


@pytest.fixture
def implicit(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_FLOW = "implicit"
    settings.EGNYTE_CLIENT_ID = "sandbox-implicit-key"
    settings.EGNYTE_CLIENT_SECRET = ""
    return egnyte_sandbox


@pytest.fixture
def internal(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_FLOW = "password"
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"
    egnyte_sandbox.set_password("acme", "jsmith", SECRET)
    return egnyte_sandbox
