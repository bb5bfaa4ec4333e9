"""Secrets are removed from every part of a request."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import AsyncRequestFactory, RequestFactory

from django_egnyte.callers import HIDDEN_QUERY
from django_egnyte.secret import Secret
from django_egnyte.views.incoming import take

PATH = "/egnyte/callback/"
QUERY = "code=c0de&state=st4te&error=denied"
FORM = "password=p4ss&username=jsmith"


def shown(request: Any) -> str:
    """All parts of a request that a tool could store."""
    texts = [repr(request), request.META, request.GET, request.POST, request.body, request.read()]
    texts += [request.get_full_path(), request.build_absolute_uri()]
    if isinstance(request, ASGIRequest):
        texts.append(request.scope)
    return repr(texts)


def test_a_query_is_taken_out_of_a_wsgi_request() -> None:
    request = RequestFactory().get(
        f"{PATH}?{QUERY}",
        REQUEST_URI=f"{PATH}?{QUERY}",
        RAW_URI=f"{PATH}?{QUERY}",
        HTTP_X_ORIGINAL_URI=f"https://site.example{PATH}?{QUERY}",
        HTTP_X_OTHER="stays?as=it-is",
    )
    environ = request.environ
    assert "c0de" in shown(request)
    found = take(request, "code", "state")
    assert found == {"code": Secret("c0de"), "state": Secret("st4te"), "error": "denied"}
    for secret in ("c0de", "st4te"):
        assert secret not in shown(request)
        assert secret not in repr(environ)
    assert request.META["RAW_URI"] == PATH
    assert request.META["HTTP_X_ORIGINAL_URI"] == f"https://site.example{PATH}"
    assert request.META["HTTP_X_OTHER"] == "stays?as=it-is"


def test_a_query_is_taken_out_of_an_asgi_request() -> None:
    request = AsyncRequestFactory().get(
        f"{PATH}?{QUERY}", headers={"X-Original-URI": f"{PATH}?{QUERY}", "X-Other": "a?b"}
    )
    scope = request.scope
    assert "c0de" in shown(request)
    assert take(request, "code")["code"] == Secret("c0de")
    assert "c0de" not in shown(request)
    assert "c0de" not in repr(scope)
    assert scope["query_string"] == b""
    assert (b"x-other", b"a?b") in list(scope["headers"])


@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory])
def test_a_form_is_taken_out_of_a_request(factory: Any) -> None:
    request = factory().post(PATH, FORM, content_type="application/x-www-form-urlencoded")
    assert request.POST["password"] == "p4ss"
    assert take(request, "password") == {"password": Secret("p4ss"), "username": "jsmith"}
    assert "p4ss" not in shown(request)
    assert "jsmith" not in shown(request)


def test_a_query_that_was_hidden_is_found() -> None:
    request = RequestFactory().get(PATH)
    request.META[HIDDEN_QUERY] = Secret(QUERY)
    assert take(request, "code")["code"] == Secret("c0de")
    assert HIDDEN_QUERY not in request.META


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("code=a&code=b", {"code": Secret("b")}),
        ("code=", {"code": Secret("")}),
        ("code=%C3%BC&x=%ff", {"code": Secret("ü"), "x": "\ufffd"}),
        ("&&=&=", {"": ""}),
    ],
)
def test_queries_of_all_kinds_are_read(query: str, found: dict[str, Any]) -> None:
    assert take(RequestFactory().get(PATH, QUERY_STRING=query), "code") == found
