"""Metadata: the keys that a domain defines, and their values for files and folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django_egnyte.api.areas.base import Area, operation, segment, twin
from django_egnyte.api.areas.records import Record, records
from django_egnyte.exceptions import ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

NAMESPACE = "/pubapi/v1/properties/namespace"


@dataclass(frozen=True, slots=True)
class Namespace(Record):
    """A set of keys. `keys` has the definition of each: type, displayName and helpText."""

    name: str
    scope: str | None = None
    keys: Mapping[str, Any] | None = None


class Metadata(Area):
    """`client.metadata`. A file is named by its group id, a version by its entry id."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    @operation
    def namespaces(self) -> Steps[tuple[Namespace, ...]]:
        """All namespaces that the user may see."""
        return records(Namespace, (yield from self._array("GET", NAMESPACE)))

    anamespaces = twin(namespaces)

    @operation
    def namespace(self, name: str) -> Steps[Namespace]:
        """The namespace with this name."""
        value = yield from self._json("GET", f"{NAMESPACE}/{segment(name)}")
        return Namespace.of({"name": name, **value})

    anamespace = twin(namespace)

    @operation
    def create(
        self,
        name: str,
        keys: Mapping[str, Mapping[str, Any]],
        *,
        scope: Literal["public", "protected", "private"] = "public",
    ) -> Steps[None]:
        """Define a namespace: {"amount": {"type": "decimal", "helpText": "In euros"}}.

        ConflictError if it exists. ValueError for a hyphen in its name.
        """
        if "-" in name:
            raise ValueError("the name of a namespace must not contain a hyphen")
        body = {
            "name": name,
            "scope": scope,
            # Egnyte refuses a key without these, although its documentation does not say so.
            "keys": {key: {"displayName": key, "helpText": key, **keys[key]} for key in keys},
        }
        yield from self._send("POST", NAMESPACE, json=body)

    acreate = twin(create)

    @operation
    def delete(self, name: str, *, force: bool = False) -> Steps[None]:
        """Delete a namespace. With `force`, also if files and folders have values in it."""
        headers = {"X-Egnyte-Force-Delete": "Yes"} if force else None
        yield from self._send("DELETE", f"{NAMESPACE}/{segment(name)}", headers=headers)

    adelete = twin(delete)

    @operation
    def get(
        self, namespace: str, *, file: str | None = None, folder: str | None = None
    ) -> Steps[Mapping[str, Any]]:
        """The values of a file or folder in a namespace."""
        value = yield from self._json("GET", _at(namespace, file, folder))
        return _values(value, namespace)

    aget = twin(get)

    @operation
    def set(
        self,
        namespace: str,
        values: Mapping[str, Any],
        *,
        file: str | None = None,
        folder: str | None = None,
    ) -> Steps[None]:
        """Set these values of a file or folder. Its other values stay."""
        yield from self._send("PUT", _at(namespace, file, folder), json=dict(values))

    aset = twin(set)


def _at(namespace: str, file: str | None, folder: str | None) -> str:
    if (file is None) == (folder is None):
        raise ValueError("metadata is that of either a file or a folder")
    kind, its_id = ("file", file) if folder is None else ("folder", folder)
    return f"/pubapi/v1/fs/ids/{kind}/{segment(its_id or '')}/properties/{segment(namespace)}"


def _values(value: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    results = value.get("results")
    if not isinstance(results, list):
        raise ResponseError("Egnyte sent metadata in a form that is not known.")
    found: dict[str, Any] = {}
    for each in results:
        inner = each.get(namespace) if isinstance(each, dict) else None
        found.update(inner if isinstance(inner, dict) else {})
    return found
