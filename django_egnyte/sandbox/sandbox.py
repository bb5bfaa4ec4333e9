"""`Sandbox`: an imitation of Egnyte in memory, with methods for tests."""

from __future__ import annotations

from typing import Any
from wsgiref.types import WSGIApplication

from . import areas, authorization
from .app import App
from .state import Settings, TokenPolicy
from .world import World


class Sandbox(World):
    """A `World`, plus the actions of a person at a browser. Every method is thread-safe."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        policy: TokenPolicy | None = None,
        seeded: bool = True,
    ) -> None:
        super().__init__(settings=settings, policy=policy, seeded=seeded, watchers=[areas.watch])

    def authorize(
        self,
        authorization_url: str,
        username: str,
        *,
        allow: bool = True,
        domain: str | None = None,
    ) -> str:
        """The redirect URL after the user has logged in and allowed, or denied, access.

        `url` may be one of this sandbox or of Egnyte. For the Enhanced service, `domain` is the
        one that the user types. Raises ValueError with Egnyte's message if Egnyte would show an
        error page.
        """
        return authorization.location(self, authorization_url, username, allow=allow, domain=domain)

    def referer(self, authorization_url: str, domain: str | None = None) -> str:
        """The Referer that a browser sends with the last redirect, without its query.

        Empty when `settings.send_referer` is off. Raises ValueError as `authorize` does.
        """
        return authorization.referer(self, authorization_url, domain)

    def notifications(self, domain: str) -> list[dict[str, Any]]:
        """Remove and return the pending notifications for webhooks: url, headers and event of each.

        The sandbox does not send them. Egnyte sends an array of such events.
        """
        with self.lock:
            waiting = self.shelf(domain, "notifications")
            taken = [*waiting.values()]
            waiting.clear()
            return taken

    def forget_events(self, domain: str, before: int) -> None:
        """Expire the events with smaller ids. At Egnyte they expire after 30 days."""
        with self.lock:
            areas.forget(self, domain, before)

    def map_salesforce(self, domain: str, record_id: str, path: str) -> None:
        """Assign a folder to a Salesforce record."""
        with self.lock:
            self.tree(domain).get(path, None)
            self.shelf(domain, "salesforce")[record_id] = {"path": path}

    def wsgi(self) -> WSGIApplication:
        """A WSGI application of this sandbox, for a server or a test client of your own."""
        return App(self)
