"""Signals for the site's own code; this app connects nothing to them.

Each is sent after the commit, robustly: a receiver that raises is logged and breaks nothing. The
sender is ``EgnyteAccount``; the keyword arguments are ``account`` and ``reason`` (the flow, the
actor, or text for people), and for ``account_connected`` also ``created`` (whether the account is
new). In ``account_disconnected`` the account has neither a row nor a token.
"""

from __future__ import annotations

from django.dispatch import Signal

account_connected = Signal()
account_disconnected = Signal()
account_suspected = Signal()
account_revoked = Signal()
account_refreshed = Signal()

api_called = Signal()
"""For metrics: a client made one request to Egnyte's API. Sent at once, in the thread that made
it, with ``account``, ``method``, ``status`` (``None`` if there was no answer), ``duration``
(seconds) and ``request_id`` (Egnyte's, or ``None``)."""
