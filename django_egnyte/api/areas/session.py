"""What a token is, and what it opens in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import Area, operation, present, twin
from django_egnyte.api.areas.records import Record
from django_egnyte.api.paths import clean_path
from django_egnyte.exceptions import ResponseError
from django_egnyte.secret import Secret

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


@dataclass(frozen=True, slots=True)
class Identity(Record):
    """Whose token it is, of which API key, and the scopes that it has: "Egnyte.filesystem"."""

    username: str | None = None
    domain: str | None = None
    client_id: str | None = None
    scopes: tuple[str, ...] = ()


class WebSession(Area):
    """`client.web_session()`."""

    __slots__ = ()
    scope = "Egnyte.launchwebsession"

    @operation
    def open(self, path: str | None = None, *, embedded: bool = True) -> Steps[Secret]:
        body = present(embedded=embedded, path=None if path is None else clean_path(path))
        # The answer is a password for some seconds, so no frame keeps it.
        address = _address((yield from self._json("POST", "/pubapi/v2/navigate", json=body)))
        if not address:
            raise ResponseError("Egnyte opened a web session and did not say where.")
        return address

    aopen = twin(open)


class Whoami(Area):
    """`client.whoami()`."""

    __slots__ = ()
    # Any token may ask.
    scope = "Egnyte.filesystem"

    @operation
    def get(self) -> Steps[Identity]:
        said = Identity.of((yield from self._json("GET", "/pubapi/v1/whoami")))
        # Egnyte uses short names here: "fs" for Egnyte.filesystem.
        scopes = tuple(_LONG.get(each.lower(), each) for each in said.scopes)
        return Identity(said.username, said.domain, said.client_id, scopes, raw=said.raw)

    aget = twin(get)


_LONG = {
    "fs": "Egnyte.filesystem",
    **{
        name: f"Egnyte.{name}"
        for name in (
            "ai",
            "audit",
            "bookmark",
            "filesystem",
            "group",
            "launchwebsession",
            "link",
            "permission",
            "salesforce",
            "user",
            "webhooks",
        )
    },
}


def _address(value: dict[str, object]) -> Secret:
    found = value.get("redirect")
    return Secret(found) if isinstance(found, str) else Secret()
