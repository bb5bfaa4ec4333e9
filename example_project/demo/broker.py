"""Kombu's broker in a folder, made safe for a worker that looks often."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Gives a message the name that readers look for when it is complete, not before.

    Kombu's own writes it under that name, and a worker that finds it empty ends.
    """

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        name = f"{time.monotonic_ns():020}-{uuid.uuid4()}.{queue}.msg"
        complete = Path(self.data_folder_out) / name
        unfinished = complete.with_suffix(".part")
        unfinished.write_text(dumps(payload), encoding="utf-8")
        unfinished.rename(complete)


class Transport(filesystem.Transport):
    """What ``filesystem://`` means here: see ``demo.celery``."""

    Channel = Channel
