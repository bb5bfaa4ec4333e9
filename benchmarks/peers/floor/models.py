from django.conf import settings
from django.db import models


class Link(models.Model):
    """The minimum for a linked user: the provider's answer, unencrypted."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    uid = models.CharField(max_length=255)
    token = models.JSONField()

    class Meta:
        app_label = "floor"
        constraints = [models.UniqueConstraint(fields=["user", "uid"], name="floor_link_unique")]

    def __str__(self) -> str:
        return self.uid
