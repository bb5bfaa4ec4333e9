from __future__ import annotations

from django.db import models

from django_egnyte.models import EgnyteAccount


class Change(models.Model):
    """A polled event, for the page of live changes. One row per event."""

    account = models.ForeignKey(EgnyteAccount, on_delete=models.CASCADE, related_name="changes")
    event_id = models.BigIntegerField()
    action = models.CharField(max_length=32)
    path = models.TextField()
    happened_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "event_id"], name="files_change_once")
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.path}"
