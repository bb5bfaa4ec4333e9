"""Parse the quoted tables."""

from __future__ import annotations

HOST = "acme.egnyte.com"
CALLBACK = "http://testserver/egnyte/callback/"


def rows_of(table: str) -> list[list[str]]:
    """The cells of each row. The first row has the names of the columns."""
    lines = [line.strip() for line in table.strip().splitlines()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]
