"""What users and groups have in common: SCIM's way of paging and filtering."""

from __future__ import annotations

from typing import Any

from django_egnyte.api.areas.base import present
from django_egnyte.api.areas.paging import Paging

SCIM = Paging(
    "resources", size=100, largest=100, total="totalResults", offset="startIndex", first=1
)


def scim_options(
    *conditions: tuple[str, str, str | None], page_size: int | None = None
) -> dict[str, Any]:
    """The options of a filtered list. ValueError for two conditions, and for quotes in a value."""
    options = present(page_size=page_size)
    given = [(name, test, value) for name, test, value in conditions if value is not None]
    if len(given) > 1:
        raise ValueError("Egnyte takes one condition at a time")
    for name, test, value in given:
        if '"' in value or "\\" in value:
            raise ValueError("a value to look for must not contain a quotation mark or a backslash")
        options["filter"] = f'{name} {test} "{value}"'
    return options
