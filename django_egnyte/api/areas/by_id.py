"""The methods that files and folders by id have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import Caller, operation, twin
from django_egnyte.api.areas.tools import Tools
from django_egnyte.api.entries import Entry, entry_of
from django_egnyte.api.paths import clean_path

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


class ById(Tools):
    """A file or a folder by its id. Creating one makes no call, so the id may be unknown."""

    __slots__ = ("_where",)

    def __init__(self, client: Caller, where: str) -> None:
        super().__init__(client)
        self._where = where

    @operation
    def info(self) -> Steps[Entry]:
        """Its metadata, including the current path."""
        return entry_of((yield from self._described(self._where)))

    ainfo = twin(info)

    @operation
    def move(self, destination: str) -> Steps[None]:
        """Move or rename. `destination` is the new path with the name. The id stays the same."""
        yield from self._act("move", destination)

    amove = twin(move)

    @operation
    def copy(self, destination: str) -> Steps[None]:
        """Copy. `destination` is the path of the copy with the name."""
        yield from self._act("copy", destination)

    acopy = twin(copy)

    @operation
    def delete(self) -> Steps[None]:
        """Move it to the trash."""
        yield from self._send("DELETE", self._where)

    adelete = twin(delete)

    def _act(self, action: str, destination: str) -> Steps[None]:
        asked = {"action": action, "destination": clean_path(destination)}
        yield from self._send("POST", self._where, json=asked)


def address(place: ById) -> str:
    """The API's path of the file or the folder."""
    return place._where
