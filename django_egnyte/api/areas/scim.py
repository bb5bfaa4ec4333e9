"""What users and groups have in common: SCIM's way of paging and filtering."""

from __future__ import annotations

from django_egnyte.api.areas.paging import Paging

SCIM = Paging(
    "resources", size=100, largest=100, total="totalResults", offset="startIndex", first=1
)


def scim_filter(*conditions: tuple[str, str, str | None]) -> dict[str, str]:
    """The query of a filtered list. ValueError for two conditions, and for quotes in a value."""
    given = [(name, test, value) for name, test, value in conditions if value is not None]
    if len(given) > 1:
        raise ValueError("Egnyte takes one condition at a time")
    for name, test, value in given:
        if '"' in value or "\\" in value:
            raise ValueError("a value to look for may hold no quotation mark and no backslash")
        return {"filter": f'{name} {test} "{value}"'}
    return {}
