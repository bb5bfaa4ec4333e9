from __future__ import annotations

from typing import Any

import pytest
from django.test import Client


@pytest.fixture
def browser(client: Client, egnyte_user: Any) -> Client:
    client.force_login(egnyte_user)
    return client
