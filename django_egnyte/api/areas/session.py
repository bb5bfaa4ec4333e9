"""The user and scopes of a token, and Egnyte's web pages for a browser."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_egnyte import answers
from django_egnyte.api.areas.base import Area, operation, present, twin
from django_egnyte.api.areas.records import Record
from django_egnyte.api.paths import clean_path
from django_egnyte.exceptions import ResponseError
from django_egnyte.secret import Secret

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


@dataclass(frozen=True, slots=True)
class Identity(Record):
    """The user, the API key and the scopes of a token, such as "Egnyte.filesystem"."""

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
        # The URL logs in anybody for some seconds, so keep it out of variables.
        address = _address((yield from self._json("POST", "/pubapi/v2/navigate", json=body)))
        if not address:
            raise ResponseError("Egnyte opened a web session and did not say where.")
        return address

    aopen = twin(open)


class Whoami(Area):
    """`client.whoami()`."""

    __slots__ = ()
    # This call needs no scope.
    scope = "Egnyte.filesystem"

    @operation
    def get(self) -> Steps[Identity]:
        value = yield from self._json("GET", "/pubapi/v1/whoami")
        # Egnyte answers with short names: "fs" for Egnyte.filesystem.
        return dataclasses.replace(Identity.of(value), scopes=answers.scopes_of(value))

    aget = twin(get)


def _address(value: dict[str, object]) -> Secret:
    found = value.get("redirect")
    return Secret(found) if isinstance(found, str) else Secret()
