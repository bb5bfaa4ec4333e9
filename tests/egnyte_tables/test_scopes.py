"""Each scope that the page names is requested, shown and stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_egnyte.models import EgnyteAccount
from tests import walk

from .tables import rows_of

SCOPE_TABLE = """
| Scope Identifier | API |
| Egnyte.filesystem | File System, Search, Comments, Events, Folder Options, User Insights, Trash |
| Egnyte.user | User Management |
| Egnyte.group | Group Management |
| Egnyte.audit | Audit Reporting |
| Egnyte.link | Links |
| Egnyte.permission | Permissions |
| Egnyte.salesforce | Other Applications -> Salesforce |
| Egnyte.bookmark | Bookmarks |
| Egnyte.launchwebsession | Embedded UI |
"""
LABELS = {
    "Egnyte.filesystem": "Read, write and delete files and folders",
    "Egnyte.user": "Create, update and delete users",
    "Egnyte.group": "Create, update and delete groups",
    "Egnyte.audit": "Generate audit reports",
    "Egnyte.link": "Create and delete links to files and folders",
    "Egnyte.permission": "Read and change folder permissions",
    "Egnyte.salesforce": "Work with the Salesforce integration",
    "Egnyte.bookmark": "Read, add and delete bookmarks",
    "Egnyte.launchwebsession": "Open Egnyte web pages as you",
}


@pytest.mark.parametrize("scope", [row[0] for row in rows_of(SCOPE_TABLE)])
def test_each_scope_is_requested_shown_and_stored(
    browser: Client, egnyte_sandbox: Any, settings: Any, scope: str
) -> None:
    settings.EGNYTE_SCOPES = [scope]
    page = browser.get("/egnyte/connect/").content.decode()
    assert LABELS[scope] in page
    assert scope not in page
    url = walk.begin(browser)
    assert walk.query_of(url)["scope"] == scope
    response = walk.come_back(browser, egnyte_sandbox.authorize(url, "jsmith"))
    assert response.status_code == 302
    assert EgnyteAccount.objects.get().scopes == [scope]
    assert [set(grant.scopes) for grant in egnyte_sandbox.live_grants()] == [{scope}]
    page = browser.get("/egnyte/").content.decode()
    assert LABELS[scope] in page


def test_several_scopes_are_delimited_by_spaces(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    scopes = [row[0] for row in rows_of(SCOPE_TABLE)]
    assert len(scopes) == 9
    settings.EGNYTE_SCOPES = scopes
    url = walk.begin(browser)
    assert walk.query_of(url)["scope"] == " ".join(scopes)
    walk.come_back(browser, egnyte_sandbox.authorize(url, "jsmith"))
    assert EgnyteAccount.objects.get().scopes == scopes
