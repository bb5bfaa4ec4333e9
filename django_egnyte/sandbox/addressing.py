"""The domain of a request: in the path `/d/{label}/...`, or in the host `{label}.localhost`."""

from __future__ import annotations

from typing import NamedTuple

SERVICES = frozenset({"us-partner-integrations", "partner-integrations"})
EGNYTE_SUFFIXES = (".egnyte.com", ".egnytegov.com", ".qa-egnyte.com")


class Address(NamedTuple):
    """A label (empty for the sandbox's own pages), the prefix of its URLs, and the path below."""

    label: str
    prefix: str
    path: str


def locate(host: str, path: str) -> Address:
    """The address of a request: `path` is encoded and has no query, `host` has a port."""
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
    """As `locate`, but also for real Egnyte hosts (for `Sandbox.authorize`)."""
    name = netloc.lower()
    for suffix in EGNYTE_SUFFIXES:
        if name.endswith(suffix):
            return Address(name.removesuffix(suffix), f"https://{name}", path)
    return locate(netloc, path)


def sibling(address: Address, label: str) -> str:
    """The URL prefix of another label, in the same form."""
    if "/d/" in address.prefix:
        return f"{address.prefix.rpartition('/')[0]}/{label}"
    scheme, _, host = address.prefix.partition("://")
    return f"{scheme}://{label}.{host.partition('.')[2]}"


def domain_label(text: str) -> str:
    """The label, such as `acme`, from a label, a host or a full URL."""
    text = text.strip().lower()
    _, separator, rest = text.partition("://")
    if separator:
        text = rest
    if text.partition("/")[2].startswith("d/"):
        return text.split("/")[2]
    return text.partition("/")[0].partition(":")[0].partition(".")[0]
