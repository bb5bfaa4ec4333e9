"""Kombu's broker in a folder, but safe for a worker that polls often."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Writes a message under a temporary name, and renames it when it is complete.

    Kombu's own class writes it under the final name. A worker that then reads an empty file exits.
    """

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        name = f"{time.monotonic_ns():020}-{uuid.uuid4()}.{queue}.msg"
        complete = Path(self.data_folder_out) / name
        unfinished = complete.with_suffix(".part")
        unfinished.write_text(dumps(payload), encoding="utf-8")
        unfinished.rename(complete)


class Transport(filesystem.Transport):
    """The transport for ``filesystem://`` URLs: see ``demo.celery``."""

    Channel = Channel
