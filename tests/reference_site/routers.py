from __future__ import annotations

from typing import Any


class SessionRouter:
    """Stores sessions in a separate database."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "sessions" if model._meta.app_label == "sessions" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "sessions") is (app_label == "sessions")
