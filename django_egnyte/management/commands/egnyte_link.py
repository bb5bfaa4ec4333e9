"""``manage.py egnyte_link``."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte import gateway
from django_egnyte.conf import conf
from django_egnyte.exceptions import EgnyteError
from django_egnyte.management.selection import host_named, user_named
from django_egnyte.secret import Secret
from django_egnyte.services.link import link_with_password


class Command(BaseCommand):
    """Prompts for the password, or reads it from standard input. It is never an argument."""

    help = "Links a user of the site to Egnyte with a username and password (internal API keys)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user of this site")
        parser.add_argument(
            "--domain", help="the Egnyte domain; needed unless EGNYTE_DOMAIN is set"
        )
        parser.add_argument("--username", required=True, help="the username at Egnyte")

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["user"])
        host = host_named(options["domain"]) if options["domain"] else gateway.fixed_host()
        if not host:
            raise CommandError("Give --domain, or set EGNYTE_DOMAIN.")
        if sys.stdin.isatty():
            password = Secret(getpass.getpass("Egnyte password: "))
        else:
            password = Secret(sys.stdin.readline().rstrip("\r\n"))
        if not password:
            raise CommandError("The password is empty. Nothing was linked.")
        try:
            account = link_with_password(
                user,
                username=options["username"],
                password=password,
                host=host,
                scopes=tuple(conf.scopes),
                actor="command",
            )
        except EgnyteError as error:
            hint = f" {error.hint}" if error.hint else ""
            raise CommandError(f"{type(error).__name__}: {error}{hint}") from None
        self.stdout.write(f"Linked {options['user']} to {account}.")
