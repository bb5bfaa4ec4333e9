"""The staff's own admin site, which knows the linked accounts and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_egnyte.choices import EventKind
from django_egnyte.models import AccountEvent, EgnyteAccount


@pytest.fixture
def administrator(client: Client, django_user_model: Any) -> Client:
    client.force_login(django_user_model.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


@pytest.mark.parametrize("page", ["", "{pk}/change/", "{pk}/revoke/", "health/"])
def test_the_pages_link_to_pages_of_the_staffs_site(
    administrator: Client, egnyte_account: EgnyteAccount, page: str
) -> None:
    AccountEvent.objects.create(kind=EventKind.CONNECTED, account_ref=egnyte_account.pk)
    start = "/en/staff/django_egnyte/egnyteaccount/"

    response = administrator.get(start + page.format(pk=egnyte_account.pk))
    assert response.status_code == 200
    links = re.findall(r'(?:href|action)="(/en/[^"]*)"', response.content.decode())
    assert start in links
    assert {link for link in links if not link.startswith("/en/staff/")} <= {"/en/"}
