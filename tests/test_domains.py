from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_egnyte import domains
from django_egnyte.exceptions import InvalidDomainError

SUFFIXES = ["egnyte.com", "egnytegov.com"]
LABELS = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z", fullmatch=True).filter(
    lambda label: (
        not label.startswith("xn--")
        and label not in domains._SERVICES
        and not label.endswith("partner-integrations")
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "acme",
        "ACME ",
        "\tacme\n",
        "acme.egnyte.com",
        "Acme.Egnyte.Com",
        "https://acme.egnyte.com/",
        "https://acme.egnyte.com",
        "HTTPS://ACME.EGNYTE.COM/ ",
        "https://acme.egnyte.com/app/index.do",
        "https://acme.egnyte.com/app/index.do#storage/files/1/Shared/\u00fc",
        "https://acme.egnyte.com/navigate/file/1?a=b@c:d",
        "https://acme.egnyte.com?a=b",
        "https://acme.egnyte.com#@evil.org",
        "https://acme.egnyte.com:443/",
        "http://acme.egnyte.com/",
        "https://acme.egnyte.com//x",
        "acme.egnyte.com/",
        "acme.egnyte.com/app",
        "acme.egnyte.com/" + "a" * 1000,
    ],
)
def test_a_domain_is_understood_however_it_is_written(text: str) -> None:
    assert domains.parse(text, suffixes=SUFFIXES) == "acme.egnyte.com"


def test_the_first_suffix_is_for_a_bare_name_and_the_others_are_accepted() -> None:
    assert domains.parse("acme.egnytegov.com", suffixes=SUFFIXES) == "acme.egnytegov.com"
    assert domains.parse("acme", suffixes=["qa-egnyte.com"]) == "acme.qa-egnyte.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        ".egnyte.com",
        "egnyte.com",
        "-acme",
        "acme-",
        "a_b",
        "a b",
        "a" * 64,
        "a" * 5000,
        "a.b.egnyte.com",
        "acme.egnyte.com.",
        "acme.egnyte.com.evil.org",
        "acme.evil.org",
        "acme.notegnyte.com",
        "acme.qa-egnyte.com",
        "acme/",
        "https://acme",
        "//acme.egnyte.com",
        "acme/app",
        "acme:443",
        "https:acme.egnyte.com",
        "https:///acme.egnyte.com",
        "ftp://acme.egnyte.com/",
        "javascript://acme.egnyte.com/",
        "https://acme.egnyte.com:/",
        "https://acme.egnyte.com:x/",
        "https://evil.org#acme.egnyte.com",
        "https://evil.org/acme.egnyte.com",
        "https://evil.org?@acme.egnyte.com",
        "https://acme.egnyte.com .evil.org/",
        "https://user:pw@acme.egnyte.com/",
        "https://user@acme.egnyte.com/",
        "https://evil.org@acme.egnyte.com/",
        "https://acme.egnyte.com@evil.org/",
        "https://evil.org\\@acme.egnyte.com",
        "acme.egnyte.com\\.evil.org",
        "acme%2eegnyte.com",
        "acme\x00",
        "ac\nme",
        "xn--acme-abc",
        "\uff41\uff43\uff4d\uff45",
        "acme\u3002egnyte.com",
        "acme\uff0eegnyte.com",
        "\u212aernel",
        "acme\u00a0",
        "\u0430cme",
        "\u0661\u0662",
        "www",
        "WWW.egnyte.com",
        "developers",
        "community",
        "partner-integrations",
        "us-partner-integrations.egnyte.com",
        "eu-partner-integrations",
    ],
)
def test_whatever_is_not_one_customer_is_refused(text: str) -> None:
    with pytest.raises(InvalidDomainError) as caught:
        domains.parse(text, suffixes=SUFFIXES)
    if len(text) > 20:
        assert text not in str(caught.value)


def test_nothing_is_accepted_without_a_suffix() -> None:
    with pytest.raises(InvalidDomainError):
        domains.parse("acme", suffixes=[])


def test_the_label_is_the_customers_name() -> None:
    assert domains.label("acme.egnyte.com") == "acme"


@given(LABELS, st.sampled_from(["", " ", "\t", "\r\n"]))
def test_every_label_survives_every_way_of_writing_it(label: str, blank: str) -> None:
    host = f"{label}.egnyte.com"
    for text in (label, host, host.upper(), f"https://{host}", f"https://{host}/"):
        assert domains.parse(blank + text + blank, suffixes=SUFFIXES) == host
    assert domains.label(host) == label


@given(st.text(max_size=80) | st.text("acme.egnyt/:@?#%\\-", max_size=40))
def test_what_comes_out_is_always_one_label_before_a_suffix(text: str) -> None:
    try:
        host = domains.parse(text, suffixes=SUFFIXES)
    except InvalidDomainError:
        return
    label, _, suffix = host.partition(".")
    assert suffix in SUFFIXES
    assert 1 <= len(label) <= 63
    assert set(label) <= set(string.ascii_lowercase + string.digits + "-")
    assert domains.parse(host, suffixes=SUFFIXES) == host
