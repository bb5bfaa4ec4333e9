"""Users of the site other than the fixture ``egnyte_user``."""

from __future__ import annotations

from typing import Any

from django.test import Client


def another_user(django_user_model: Any, django_username_field: str) -> Any:
    return django_user_model.objects.create(**{django_username_field: "other@example.com"})


def browser_of(user: Any) -> Client:
    """A new test client in which this user is logged in."""
    client = Client(headers={"Accept": "text/html"})
    client.force_login(user)
    return client
