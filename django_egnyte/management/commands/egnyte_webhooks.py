"""``manage.py egnyte_webhooks``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.api.areas.webhooks import Webhook
from django_egnyte.exceptions import EgnyteError
from django_egnyte.management.selection import add_account, one_account
from django_egnyte.models import EgnyteAccount
from django_egnyte.services import webhooks


class Command(BaseCommand):
    """Exit code 1 if Egnyte refuses, or if the options do not select exactly one account."""

    help = "Registers, lists, renews and removes the webhooks of an account at Egnyte."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(
            dest="act", required=True, metavar="register|list|renew|remove"
        )
        register = acts.add_parser(
            "register", help="register a webhook: Egnyte then sends events to this site"
        )
        register.add_argument(
            "--url",
            default="",
            help="the address of egnyte:webhook (default: at the host of EGNYTE_REDIRECT_URI)",
        )
        register.add_argument("--events", nargs="+", default=[], metavar="TYPE", help="fs:add_file")
        register.add_argument("--paths", nargs="+", default=[], metavar="PATH", help="/Shared/in")
        listing = acts.add_parser("list", help="list all webhooks of the API key at the domain")
        renew = acts.add_parser(
            "renew",
            help="replace the webhooks of this site, before they expire or you remove a key",
        )
        remove = acts.add_parser("remove", help="remove a webhook")
        remove.add_argument(
            "webhook_id", nargs="+", metavar="ID", help="the id that the list shows"
        )
        for act in (register, listing, renew, remove):
            add_account(act)

    def handle(self, *args: Any, **options: Any) -> None:
        account = one_account(options)
        try:
            getattr(self, f"_{options['act']}")(account, options)
        except (EgnyteError, ValueError) as error:
            hint = getattr(error, "hint", "")
            raise CommandError(f"{error} {hint}".strip(), returncode=1) from None

    def _register(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        url = options["url"] or webhooks.site_url()
        if not url:
            raise CommandError("Give --url, or set EGNYTE_REDIRECT_URI.", returncode=1)
        hook = webhooks.register(account, url, kinds=options["events"], paths=options["paths"])
        self._show(hook)

    def _list(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        for hook in account.client.webhooks.list():
            self._show(hook)

    def _renew(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        for hook in webhooks.of_site(account):
            self._show(webhooks.renew(account, hook))

    def _remove(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        for webhook_id in options["webhook_id"]:
            account.client.webhooks.delete(webhook_id)
            self.stdout.write(f"{webhook_id}: removed")

    def _show(self, hook: Webhook) -> None:
        ends = f"until {hook.expires:%Y-%m-%d}" if hook.expires else "no expiry date"
        kinds = ", ".join(hook.event_type) or "all events"
        below = f" below {hook.path}" if hook.path else ""
        self.stdout.write(
            f"{hook.webhook_id}: {hook.status}, {ends}, {kinds}{below}, to {hook.url}"
        )
