from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from django_egnyte.api.areas.events import Event
from django_egnyte.models import EgnyteAccount
from django_egnyte.signals import egnyte_event

from .models import Change


@receiver(egnyte_event)
def keep_change(sender: Any, account: EgnyteAccount, event: Any, **kwargs: Any) -> None:
    """Store an event for the page of changes. It may be called twice for an event."""
    if isinstance(event, Event) and event.target_path:
        kept = {
            "action": (event.action or "")[:32],
            "path": event.target_path,
            "happened_at": event.timestamp,
        }
        Change.objects.get_or_create(account=account, event_id=event.id, defaults=kept)
