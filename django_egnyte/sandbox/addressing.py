"""Which domain a request is for: `/d/{label}/...`, or a host `{label}.localhost`."""

from __future__ import annotations

from typing import NamedTuple

SERVICES = frozenset({"us-partner-integrations", "partner-integrations"})
EGNYTE_SUFFIXES = (".egnyte.com", ".egnytegov.com", ".qa-egnyte.com")


class Address(NamedTuple):
    """A label (empty: the sandbox itself), the prefix of its URLs, and the path under it."""

    label: str
    prefix: str
    path: str


def locate(host: str, path: str) -> Address:
    """Where a request to `path` (not decoded, without query) at `host` (with its port) goes."""
    if path.startswith("/d/"):
        label, slash, rest = path[3:].partition("/")
        label = label.lower()
        return Address(label, f"http://{host}/d/{label}", slash + rest or "/")
    name = host.partition(":")[0].lower()
    if name.endswith(".localhost"):
        label = name.removesuffix(".localhost")
        return Address(label, f"http://{host}", path)
    return Address("", f"http://{host}", path)


def locate_url(netloc: str, path: str) -> Address:
    """As `locate`, and understands real Egnyte hosts too (for `Sandbox.authorize`)."""
    name = netloc.lower()
    for suffix in EGNYTE_SUFFIXES:
        if name.endswith(suffix):
            return Address(name.removesuffix(suffix), f"https://{name}", path)
    return locate(netloc, path)


def sibling(address: Address, label: str) -> str:
    """The URL prefix of another label, addressed the same way."""
    if "/d/" in address.prefix:
        return f"{address.prefix.rpartition('/')[0]}/{label}"
    scheme, _, host = address.prefix.partition("://")
    return f"{scheme}://{label}.{host.partition('.')[2]}"


def domain_label(text: str) -> str:
    """`acme` from what a person or `&domain=` says: a label, a host or a full URL."""
    text = text.strip().lower()
    _, separator, rest = text.partition("://")
    if separator:
        text = rest
    if text.partition("/")[2].startswith("d/"):
        return text.split("/")[2]
    return text.partition("/")[0].partition(":")[0].partition(".")[0]
