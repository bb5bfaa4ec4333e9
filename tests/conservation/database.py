"""A PostgreSQL database for one run."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


class Database:
    """Creates the database and returns its URL. Drops it at the end, unless it should be kept."""

    def __init__(self, server: str, name: str, *, keep: bool = False) -> None:
        self.server, self.name, self.keep = server, name, keep

    def __enter__(self) -> str:
        self._execute(f'CREATE DATABASE "{self.name}"')
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{self.name}"))

    def __exit__(self, *details: object) -> None:
        if not self.keep:
            self._execute(f'DROP DATABASE "{self.name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement.encode())
