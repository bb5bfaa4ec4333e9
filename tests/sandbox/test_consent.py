from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from django.utils.translation import override

from django_egnyte.choices import Scope
from django_egnyte.sandbox import Sandbox, SandboxServer, pages
from django_egnyte.sandbox.addressing import domain_label

from .calls import CALLBACK, JANE, authorization_url, exchange, userinfo


class Form(HTMLParser):
    """The one form of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.inputs: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "input":
            self.inputs[values["name"]] = values.get("value", "")


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, allow_redirects=False, timeout=10)


def decide(page: requests.Response, host: str = "", **fields: str) -> requests.Response:
    action = Form(page.text).action
    headers = {"Host": host} if host else {}
    if host:
        parts = urlsplit(page.url)
        action = action.replace(f"http://{host}", f"{parts.scheme}://{parts.netloc}")
    return requests.post(action, data=fields, headers=headers, allow_redirects=False, timeout=10)


def test_a_person_allows(acme: str) -> None:
    page = get(authorization_url(acme))
    assert page.status_code == 200
    assert "Read, write and delete files and folders" in page.text
    assert "Sandbox application" in page.text
    assert "this is not Egnyte" in page.text
    assert "<script" not in page.text
    answer = decide(page, decision="allow", **JANE)
    assert answer.status_code == 302
    location = urlsplit(answer.headers["Location"])
    query = parse_qs(location.query)
    assert answer.headers["Location"].startswith(f"{CALLBACK}?")
    assert query["state"] == ["s 1&2"]
    token = exchange(acme, query["code"][0]).json()["access_token"]
    assert userinfo(acme, token).json()["username"] == "jsmith"


def test_a_person_denies_without_logging_in(sandbox: Sandbox, acme: str) -> None:
    answer = decide(get(authorization_url(acme)), decision="deny")
    assert answer.headers["Location"] == f"{CALLBACK}?error=access_denied&state=s+1%262"
    assert sandbox.live_tokens() == []


def test_a_wrong_password_shows_the_page_again(acme: str) -> None:
    page = get(authorization_url(acme))
    answer = decide(page, decision="allow", username='jsmith"><b>', password="no")
    assert answer.status_code == 403
    assert "Location" not in answer.headers
    assert "password is wrong" in answer.text
    assert "<b>" not in answer.text
    assert Form(answer.text).inputs["username"] == 'jsmith"><b>'
    again = decide(answer, decision="allow", **JANE)
    assert "code=" in again.headers["Location"]


def test_no_scope_shows_everything(acme: str) -> None:
    page = get(authorization_url(acme, scope=""))
    assert "Do everything at Egnyte that you may do yourself" in page.text


def test_scopes_have_the_same_words_as_in_the_app() -> None:
    with override("en"):
        assert {str(scope.value): str(scope.label) for scope in Scope} == pages.WORDS


def test_an_unknown_scope_is_shown_as_it_is_and_escaped(acme: str) -> None:
    page = get(authorization_url(acme, scope="Egnyte.<i>new</i>"))
    assert "Egnyte.&lt;i&gt;new&lt;/i&gt;" in page.text


def test_the_application_name_is_escaped(sandbox: Sandbox, acme: str) -> None:
    sandbox.add_key("odd", name="<img src=x>")
    page = get(authorization_url(acme, client_id="odd"))
    assert "<img" not in page.text
    assert "&lt;img" in page.text


def test_the_query_cannot_break_out_of_the_form(acme: str) -> None:
    page = get(authorization_url(acme) + '&x="><script>alert(1)</script>')
    assert "<script" not in page.text


def test_the_implicit_flow_ends_in_a_fragment(acme: str) -> None:
    url = authorization_url(acme, client_id="sandbox-implicit-key", response_type="token")
    answer = decide(get(url), decision="allow", **JANE)
    base, _, fragment = answer.headers["Location"].partition("#")
    fields = dict(parse_qsl(fragment))
    assert base == CALLBACK
    assert set(fields) == {"access_token", "token_type", "expires_in", "state"}
    assert userinfo(acme, fields["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"client_id": "nobody"}, 401, "No active developer profile"),
        ({"response_type": "token"}, 400, "not configured for Implicit"),
        ({"response_type": "other"}, 400, "response_type"),
        ({"client_id": "sandbox-implicit-key"}, 400, "only for Implicit"),
        (
            {"client_id": "sandbox-internal-key"},
            400,
            "Incorrect request type GET for resource owner flow",
        ),
        ({"redirect_uri": ""}, 400, "not an absolute URL"),
        ({"redirect_uri": "javascript:alert(1)"}, 400, "not an absolute URL"),
        ({"redirect_uri": "http://a/\r\nSet-Cookie: a=b"}, 400, "not an absolute URL"),
        ({"redirect_uri": "http://a/#f"}, 400, "not an absolute URL"),
        ({"redirect_uri": "http://[a/"}, 400, "not an absolute URL"),
    ],
)
def test_a_bad_request_shows_an_error_and_redirects_nowhere(
    acme: str, changes: dict[str, str], status: int, message: str
) -> None:
    answer = get(authorization_url(acme, **changes))
    assert answer.status_code == status
    assert message in answer.text
    assert "Location" not in answer.headers


def test_the_redirect_uri_must_equal_the_registered_one(sandbox: Sandbox, acme: str) -> None:
    sandbox.add_key("strict", redirect_uri="https://app.example/cb")
    wrong = authorization_url(acme, client_id="strict", redirect_uri="https://app.example/cb/")
    right = authorization_url(acme, client_id="strict", redirect_uri="https://app.example/cb")
    assert "does not match" in get(wrong).text
    assert get(right).status_code == 200


def test_https_may_be_required(sandbox: Sandbox, acme: str) -> None:
    sandbox.settings.require_https_redirect = True
    assert "must be https" in get(authorization_url(acme)).text
    assert get(authorization_url(acme, redirect_uri="https://app.example/")).status_code == 200


def test_a_redirect_uri_with_a_query_keeps_it(sandbox: Sandbox, acme: str) -> None:
    url = authorization_url(acme, redirect_uri=f"{CALLBACK}?a=b")
    assert sandbox.authorize(url, "jsmith").startswith(f"{CALLBACK}?a=b&code=")


def test_a_suspended_key_gets_no_decision_either(sandbox: Sandbox, acme: str) -> None:
    page = get(authorization_url(acme))
    sandbox.suspend_key("sandbox-code-key")
    assert decide(page, decision="allow", **JANE).status_code == 401


def test_a_reloaded_decision_page_asks_again(acme: str) -> None:
    action = Form(get(authorization_url(acme)).text).action
    assert get(action).headers["Location"] == authorization_url(acme)


def test_host_addresses_send_the_origin_as_referer(server: SandboxServer) -> None:
    host = f"acme.localhost:{server.port}"
    page = get(authorization_url(server.url), Host=host)
    assert page.headers["Referrer-Policy"] == "origin"
    assert Form(page.text).action.startswith(f"http://{host}/puboauth/decision?")
    answer = decide(page, host=host, decision="allow", **JANE)
    assert "code=" in answer.headers["Location"]
    assert answer.headers["Referrer-Policy"] == "origin"


def test_path_addresses_send_the_whole_url_as_referer(sandbox: Sandbox, acme: str) -> None:
    assert get(authorization_url(acme)).headers["Referrer-Policy"] == "unsafe-url"
    assert sandbox.referer(authorization_url(acme)) == f"{acme}/puboauth/token"


def test_the_referer_can_be_switched_off(sandbox: Sandbox, acme: str) -> None:
    sandbox.settings.send_referer = False
    page = get(authorization_url(acme))
    answer = decide(page, decision="deny")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert sandbox.referer(authorization_url(acme)) == ""


def enhanced_url(base: str, **changes: str) -> str:
    return authorization_url(base, **changes).replace("/puboauth/token", "/services/oauth/code")


@pytest.mark.parametrize("label", ["us-partner-integrations", "partner-integrations"])
def test_the_enhanced_service_asks_for_the_domain(server: SandboxServer, label: str) -> None:
    service = server.base_url.format(domain=label)
    page = get(enhanced_url(service))
    assert page.status_code == 200
    inputs = Form(page.text).inputs
    assert inputs.pop("domain") == ""
    assert inputs["state"] == "s 1&2"
    answer = requests.get(
        f"{service}/services/oauth/code",
        params=inputs | {"domain": "Globex"},
        allow_redirects=False,
        timeout=10,
    )
    location = urlsplit(answer.headers["Location"])
    assert location.path == "/d/globex/puboauth/token"
    assert dict(parse_qsl(location.query)) == inputs
    assert get(answer.headers["Location"]).status_code == 200


@pytest.mark.parametrize(
    "domain", ["acme", "acme.egnyte.com", "https://acme.egnyte.com/", "http://127.0.0.1:1/d/acme"]
)
def test_the_enhanced_service_skips_its_question(server: SandboxServer, domain: str) -> None:
    service = server.base_url.format(domain="us-partner-integrations")
    answer = get(enhanced_url(service, domain=domain))
    assert answer.status_code == 302
    assert urlsplit(answer.headers["Location"]).path == "/d/acme/puboauth/token"


def test_the_enhanced_service_leads_to_the_customers_own_host(server: SandboxServer) -> None:
    host = f"us-partner-integrations.localhost:{server.port}"
    answer = get(enhanced_url(server.url, domain="acme"), Host=host)
    location = answer.headers["Location"]
    assert location.startswith(f"http://acme.localhost:{server.port}/puboauth/token?")


def test_the_enhanced_service_knows_no_other_domains(server: SandboxServer) -> None:
    service = server.base_url.format(domain="us-partner-integrations")
    answer = get(enhanced_url(service, domain="initech<b>"))
    assert answer.status_code == 404
    assert "no such domain" in answer.text
    assert "<b>" not in answer.text
    assert get(enhanced_url(service, client_id="nobody")).status_code == 401


def test_the_enhanced_service_is_not_at_a_customers_host(acme: str) -> None:
    assert get(enhanced_url(acme)).status_code == 501


def test_pages_have_a_style_sheet_for_light_and_dark(server: SandboxServer, acme: str) -> None:
    page = get(authorization_url(acme))
    found = re.search(r'rel="stylesheet" href="([^"]+)"', page.text)
    assert found
    sheet = get(server.url + found[1])
    assert sheet.headers["Content-Type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in sheet.text
    assert "style-src 'self'" in page.headers["Content-Security-Policy"]


def test_a_domain_is_understood_in_every_form() -> None:
    forms = ["acme", " ACME ", "acme.egnyte.com", "https://acme.egnyte.com/x", "acme.localhost:1"]
    assert {domain_label(form) for form in forms} == {"acme"}
