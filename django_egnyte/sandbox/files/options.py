"""The options of folders."""

from __future__ import annotations

from ..messages import Response
from ..routing import Call, routes
from ..tree import TreeError, permit, segments
from .places import by_folder_id, by_path, parent_of
from .records import folder_record, record_answer

LONGEST_DESCRIPTION = 200
ANY: tuple[object, ...] = ()
# Each option with its documented values. Empty: any value.
OPTIONS: dict[str, tuple[object, ...]] = {
    "folder_description": ANY,
    "public_links": ("files_folders", "folders", "files", "disabled"),
    "allow_links": (True, False),
    "allow_upload_links": (True, False),
    "restrict_move_delete": (True, False),
    "move_delete_folder_restriction": (
        "admins_owners_or_full_access_users",
        "admins_or_owners",
        "admins_only",
    ),
    "inheritance_rule": ANY,
    "email_preferences": ANY,
}


def change(call: Call, path: str) -> Response:
    """`PATCH` of a folder. Answers with its new options."""
    node = call.tree.get(path, call.user)
    if not node.is_folder:
        raise TreeError(400, "Only folders have options")
    if len(segments(path)) < 2:
        raise TreeError(400, "A top folder does not have these options")
    permit(path, call.user, write=True)
    for name, value in call.body.items():
        if name not in OPTIONS or (OPTIONS[name] and value not in OPTIONS[name]):
            raise TreeError(400, f"Invalid option: {name}")
    if len(str(call.body.get("folder_description", ""))) > LONGEST_DESCRIPTION:
        raise TreeError(400, "The description is too long")
    call.shelf("options").setdefault(node.id, {}).update(call.body)
    return record_answer(call, folder_record(call, path, node, parent_of(call, path)))


SCOPE = "Egnyte.filesystem"
BY_ID = routes(SCOPE, ("PATCH", "/v1/fs/ids/folder/*", "fs:options", by_folder_id(change)))
BY_PATH = routes(SCOPE, ("PATCH", "/v1/fs/**", "fs:options", by_path(change)))
