"""``manage.py prepare_demo``."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Migrates, and makes the users demo and admin. Their passwords are EXAMPLE_PASSWORDS."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        demo_password, admin_password = os.environ.get("EXAMPLE_PASSWORDS", "demo admin").split()
        for username, password in (("demo", demo_password), ("admin", admin_password)):
            user, _ = User.objects.get_or_create(username=username)
            user.is_staff = user.is_superuser = username == "admin"
            # Do not set the same password again: that would log the user out.
            if not user.check_password(password):
                user.set_password(password)
            user.save()
