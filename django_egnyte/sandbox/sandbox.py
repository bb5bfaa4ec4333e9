"""`Sandbox`: an Egnyte in memory, and the handle with which tests move it."""

from __future__ import annotations

from typing import Any
from wsgiref.types import WSGIApplication

from . import areas, authorization
from .app import App
from .state import Settings, TokenPolicy
from .world import World


class Sandbox(World):
    """A world, and what a person at a browser does in it. Every method is thread-safe."""

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
        """The URL at which a browser arrives whose user logged in and allowed, or denied.

        Takes this sandbox's URLs and real Egnyte ones; for the Enhanced service `domain` is
        what the user types. Raises ValueError with Egnyte's message when an error page is all
        the browser would see.
        """
        return authorization.location(self, authorization_url, username, allow=allow, domain=domain)

    def referer(self, authorization_url: str, domain: str | None = None) -> str:
        """The Referer a browser sends with the last redirect, without its query.

        Empty when `settings.send_referer` is off. Raises ValueError as `authorize` does.
        """
        return authorization.referer(self, authorization_url, domain)

    def notifications(self, domain: str) -> list[dict[str, Any]]:
        """What Egnyte would send to webhooks: url, headers and event of each, taken by this call.

        The sandbox sends nothing by itself. Egnyte sends an array of such events.
        """
        with self.lock:
            waiting = self.shelf(domain, "notifications")
            taken = [*waiting.values()]
            waiting.clear()
            return taken

    def forget_events(self, domain: str, before: int) -> None:
        """Let events with smaller ids be too old, as they are after 30 days."""
        with self.lock:
            areas.forget(self, domain, before)

    def map_salesforce(self, domain: str, record_id: str, path: str) -> None:
        """Give a Salesforce record a folder."""
        with self.lock:
            self.tree(domain).get(path, None)
            self.shelf(domain, "salesforce")[record_id] = {"path": path}

    def wsgi(self) -> WSGIApplication:
        """A WSGI application of this sandbox, for a server or a test client of your own."""
        return App(self)
