"""Turn what a person types into the one host of an Egnyte customer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django_egnyte.exceptions import InvalidDomainError

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MAX_LENGTH = 4000
# People paste the address of a page. Only a scheme may precede the host.
_PASTED = re.compile(
    r"(?P<scheme>https?://)?(?P<name>[^/?#:@\\\s]+)(?P<rest>(?::\d{1,5})?(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
).fullmatch

# Egnyte's own services, to which no token or code may be sent as if to a customer. The list has
# only names seen in use, because a customer of that name could not be linked.
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

    It accepts a label ("acme", which gets the first suffix), a host ("ACME.egnyte.com ") and the
    address of a page ("https://acme.egnyte.com/app/index.do"), from which it takes the host. A
    domain is one ASCII label of letters, digits and inner hyphens before one of `suffixes`, and is
    not one of Egnyte's service names. Raises InvalidDomainError otherwise. The message never
    repeats the text.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidDomainError("This is too long for an Egnyte domain.")
    # Strip ASCII blanks only: nobody types a no-break space by mistake. Check before lower(),
    # which would turn the Kelvin sign into a plain k.
    pasted = _PASTED(text.strip(" \t\r\n"))
    if pasted is None:
        raise InvalidDomainError("This is not the name or address of an Egnyte domain.")
    if not pasted["name"].isascii():
        raise InvalidDomainError("An Egnyte domain has ASCII letters, digits and hyphens only.")
    name = pasted["name"].lower()
    endings = [suffix.lower().strip(".") for suffix in suffixes]
    if not endings:
        raise InvalidDomainError(
            "EGNYTE_DOMAIN_SUFFIXES is empty, so no Egnyte domain is accepted."
        )
    if "." not in name and not pasted["scheme"] and not pasted["rest"]:
        return _checked(name, endings[0])
    head, _, tail = name.partition(".")
    if tail not in endings:
        raise InvalidDomainError(
            "This is not the host of an Egnyte customer.",
            hint=f"Accepted are names under {', '.join(endings)} (EGNYTE_DOMAIN_SUFFIXES).",
        )
    return _checked(head, tail)


def label(host: str) -> str:
    """The customer's name: "acme" for "acme.egnyte.com"."""
    return host.partition(".")[0]


def _checked(name: str, suffix: str) -> str:
    # xn-- begins a name in another alphabet, which may look like a customer's name.
    if not _LABEL.fullmatch(name) or name.startswith("xn--"):
        raise InvalidDomainError(
            "An Egnyte domain is one name of letters, digits and hyphens.",
            hint='For https://acme.egnyte.com it is "acme".',
        )
    if name in _SERVICES or name.endswith(_SERVICE_ENDING):
        raise InvalidDomainError("That is one of Egnyte's own services, not a customer's domain.")
    return f"{name}.{suffix}"
