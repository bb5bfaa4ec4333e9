"""`/pubapi/v1/properties/namespace`, and the values on files and folders."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, by_id, found, required, routes
from ..tree import TreeError


def namespaces(call: Call) -> Response:
    return json_answer([*call.shelf("namespaces").values()])


def create(call: Call) -> Response:
    if not call.user.admin:
        raise TreeError(403, "Only administrators may define metadata")
    body = call.body
    required(body, "name", "scope", "keys")
    if "-" in body["name"]:
        raise TreeError(400, "Invalid name")
    for definition in body["keys"].values():
        required(definition, "type", "helpText")
    if body["name"] in call.shelf("namespaces"):
        raise TreeError(409, "The namespace exists")
    kept = {name: body[name] for name in ("name", "scope", "keys")}
    call.shelf("namespaces")[body["name"]] = kept
    return Response(204)


def namespace(call: Call) -> Response:
    return json_answer(_namespace(call, call.parts[0]))


def delete(call: Call) -> Response:
    if not call.user.admin:
        raise TreeError(403, "Only administrators may delete metadata")
    name = _namespace(call, call.parts[0])["name"]
    used = [key for key in call.shelf("properties") if key.endswith(f"/{name}")]
    if used and call.request.headers.get("x-egnyte-force-delete", "").lower() != "yes":
        raise TreeError(409, "The namespace is in use")
    for key in used:
        del call.shelf("properties")[key]
    del call.shelf("namespaces")[name]
    return Response(204)


def values(call: Call) -> Response:
    key, name = _place(call)
    return json_answer({"results": [{name: call.shelf("properties").get(key, {})}]})


def change(call: Call) -> Response:
    key, name = _place(call)
    body = call.body
    known = _namespace(call, name)["keys"]
    if unknown := body.keys() - known.keys():
        raise TreeError(400, f"Unknown key: {min(unknown)}")
    kept = call.shelf("properties").setdefault(key, {})
    kept.update(body)
    return json_answer({"results": [{name: kept}]})


def _place(call: Call) -> tuple[str, str]:
    kind, its_id, name = call.parts
    if kind not in ("file", "folder"):
        raise TreeError(404, "Not found")
    _, node = by_id(call, its_id, folder=kind == "folder")
    return f"{node.id}/{_namespace(call, name)['name']}", name


def _namespace(call: Call, name: str) -> dict[str, Any]:
    return found(call.shelf("namespaces"), name, "Namespace")


ROUTES = routes(
    "Egnyte.filesystem",
    ("GET", "/v1/properties/namespace", "metadata:namespaces", namespaces),
    ("POST", "/v1/properties/namespace", "metadata:create", create),
    ("GET", "/v1/properties/namespace/*", "metadata:namespace", namespace),
    ("DELETE", "/v1/properties/namespace/*", "metadata:delete", delete),
    ("GET", "/v1/fs/ids/*/*/properties/*", "metadata:get", values),
    ("PUT", "/v1/fs/ids/*/*/properties/*", "metadata:set", change),
)
