"""Make configured clients from the settings: the permitted hosts and their addresses."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from . import domains
from .choices import Flow
from .conf import TOKEN_DEADLINE, conf
from .exceptions import InvalidDomainError
from .oauth import ENHANCED_PATH, OAuthClient

# https://developers.egnyte.com: the regions of the Enhanced Authentication Service.
ENHANCED_HOSTS: Final = {
    "us": "us-partner-integrations.egnyte.com",
    "eu": "partner-integrations.egnyte.com",
}


def host_of(text: str) -> str:
    """The full host that ``text`` of a user or of a setting names.

    ``InvalidDomainError`` if it names none, or one that this site may not link.
    """
    host = domains.parse(text, suffixes=conf.domain_suffixes)
    allowed = conf.allowed_domains
    if allowed is not None and host not in {
        _configured(each, "EGNYTE_ALLOWED_DOMAINS") for each in allowed
    }:
        raise InvalidDomainError("This domain may not be linked on this site.", host=host)
    fixed = fixed_host()
    if fixed is not None and host != fixed:
        raise InvalidDomainError("Only one domain may be linked on this site.", host=host)
    return host


def fixed_host() -> str | None:
    """The only domain of this site, if ``EGNYTE_DOMAIN`` names one."""
    return _configured(conf.domain, "EGNYTE_DOMAIN") if conf.domain else None


def _configured(text: str, setting: str) -> str:
    try:
        return domains.parse(text, suffixes=conf.domain_suffixes)
    except InvalidDomainError as error:
        raise ImproperlyConfigured(f"{setting} is not an Egnyte domain: {error}") from None


def base_url(host: str) -> str:
    """The address of one of Egnyte's hosts, without a slash at its end.

    ``InvalidDomainError`` for a host to which no token may be sent, even if a row names it.
    ``ImproperlyConfigured`` for an ``EGNYTE_BASE_URL`` that is not on this machine.
    """
    ours = host in ENHANCED_HOSTS.values()
    if not ours and domains.parse(host, suffixes=conf.domain_suffixes) != host:
        raise InvalidDomainError("This is not the host of an Egnyte customer.", host=host)
    template = conf.base_url
    if not template:
        return f"https://{host}"
    url = template.replace("{domain}", domains.label(host)).rstrip("/")
    if not is_loopback(url):
        raise ImproperlyConfigured(
            "EGNYTE_BASE_URL is for development: it must name this machine (localhost, 127.0.0.1)."
        )
    return url


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
    except ValueError:
        return False
    if "@" in parts.netloc or "\\" in url:  # parsers disagree about where such a host begins
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def oauth(host: str) -> OAuthClient:
    """Egnyte's OAuth endpoints at ``host``, for the site's API key."""
    return OAuthClient(
        host=host,
        base_url=base_url(host),
        client_id=conf.client_id,
        client_secret=conf.client_secret,
        timeout=conf.timeout,
        deadline=TOKEN_DEADLINE,
    )


def host_of_referer(referer: str) -> str | None:
    """The domain in the Referer of the Enhanced service's last redirect, if it names one.

    Anybody can write that header. It counts only if it names a customer's host under Egnyte's own
    suffixes that this site may link. With ``EGNYTE_BASE_URL`` its hosts count instead.
    """
    try:
        if conf.base_url:
            name = _label_in(referer)
            return host_of(name) if name else None
        url = urlsplit(referer)
        # Only the host: no user and no port, not even an empty one.
        name = url.hostname or ""
        bare = url.scheme == "https" and url.netloc.lower() == name
        # A name without a suffix is not a host, although a form would accept it.
        return name if bare and host_of(name) == name else None
    except (InvalidDomainError, ValueError):
        return None


def _label_in(referer: str) -> str | None:
    """The domain's label in an address of the development server."""
    before, placeholder, after = (conf.base_url or "").rstrip("/").partition("{domain}")
    if not placeholder:
        return None
    address = rf"{re.escape(before)}([A-Za-z0-9-]{{1,63}}){re.escape(after)}(?:[/?#].*)?"
    found = re.fullmatch(address, referer)
    return found[1] if found else None


def enhanced_host() -> str:
    """The Enhanced Authentication Service of ``EGNYTE_REGION``."""
    try:
        return ENHANCED_HOSTS[conf.region]
    except KeyError:
        raise ImproperlyConfigured('EGNYTE_REGION must be "us" or "eu".') from None


def authorization_url(
    flow: str, host: str, *, redirect_uri: str, state: str, scopes: Sequence[str]
) -> str:
    """The URL where a flow begins: at the customer's host, or for ``enhanced`` at the service.

    The service asks the user for the domain unless ``host`` names it.
    """
    if flow == Flow.ENHANCED:
        return oauth(enhanced_host()).authorization_url(
            redirect_uri=redirect_uri,
            state=state,
            scopes=scopes,
            path=ENHANCED_PATH,
            domain=_for_service(host) if host else "",
        )
    return oauth(host).authorization_url(
        redirect_uri=redirect_uri,
        state=state,
        scopes=scopes,
        response_type="token" if flow == Flow.IMPLICIT else "code",
    )


def _for_service(host: str) -> str:
    """The domain as the Enhanced service expects it: the label, or for Gov Cloud the address."""
    name = domains.label(host)
    return name if host == f"{name}.egnyte.com" else f"https://{host}"


def key_digest() -> str:
    """A hash that identifies the API key in the database without showing it."""
    return hashlib.sha256(conf.client_id.encode()).hexdigest()
