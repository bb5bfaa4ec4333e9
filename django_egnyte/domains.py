"""Names of Egnyte customers: what a person types, made into the one host a token may go to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django_egnyte.exceptions import InvalidDomainError

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MAX_LENGTH = 4000
# What people paste: the address of some page. Nothing before the host but its scheme.
_PASTED = re.compile(
    r"(?P<scheme>https?://)?(?P<name>[^/?#:@\\\s]+)(?P<rest>(?::\d{1,5})?(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
).fullmatch

# Egnyte's own services. A token or a code must never be sent there as if to a customer. Only
# names seen in use: a customer whose name is listed here could not be linked at all.
_SERVICES = frozenset(
    {
        "api",
        "blog",
        "cdn",
        "community",
        "developer",
        "developers",
        "docs",
        "help",
        "helpdesk",
        "learn",
        "mail",
        "pages",
        "partner",
        "partners",
        "sites",
        "static",
        "status",
        "support",
        "university",
        "www",
    }
)
_SERVICE_ENDING = "partner-integrations"


def parse(text: str, *, suffixes: Sequence[str]) -> str:
    """The full host ("acme.egnyte.com") that `text` names.

    Taken are a bare label ("acme", which gets the first suffix), a host ("ACME.egnyte.com ") and
    the address of any page ("https://acme.egnyte.com/app/index.do"), of which the host counts. A
    domain is exactly one ASCII label of letters, digits and inner hyphens before one of
    `suffixes`, and not one of Egnyte's service names. Raises InvalidDomainError otherwise; the
    message never repeats the text.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidDomainError("An Egnyte domain is not as long as that.")
    # Only ASCII blanks go: a no-break or full-width space is no slip of the keyboard. The check
    # comes before lower(), which would turn the Kelvin sign into a plain k.
    pasted = _PASTED(text.strip(" \t\r\n"))
    if pasted is None:
        raise InvalidDomainError("Not the name or address of an Egnyte domain.")
    if not pasted["name"].isascii():
        raise InvalidDomainError("An Egnyte domain has ASCII letters, digits and hyphens only.")
    name = pasted["name"].lower()
    endings = [suffix.lower().strip(".") for suffix in suffixes]
    if not endings:
        raise InvalidDomainError("No Egnyte domain is accepted: no suffix is configured.")
    if "." not in name and not pasted["scheme"] and not pasted["rest"]:
        return _checked(name, endings[0])
    head, _, tail = name.partition(".")
    if tail not in endings:
        raise InvalidDomainError(
            "Not the host of an Egnyte customer.",
            hint=f"Accepted are names under {', '.join(endings)} (EGNYTE_DOMAIN_SUFFIXES).",
        )
    return _checked(head, tail)


def label(host: str) -> str:
    """The customer's name: "acme" for "acme.egnyte.com"."""
    return host.partition(".")[0]


def _checked(name: str, suffix: str) -> str:
    # xn-- would be a name in another alphabet, which may look like a customer's.
    if not _LABEL.fullmatch(name) or name.startswith("xn--"):
        raise InvalidDomainError(
            "An Egnyte domain is one name of letters, digits and hyphens.",
            hint='For https://acme.egnyte.com it is "acme".',
        )
    if name in _SERVICES or name.endswith(_SERVICE_ENDING):
        raise InvalidDomainError("That is one of Egnyte's own services, not a customer's domain.")
    return f"{name}.{suffix}"
