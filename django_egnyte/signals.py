"""Signals for the site's own code; this app connects nothing to them.

The sender is ``EgnyteAccount``. The signals of an account's life are sent after the commit,
robustly: a receiver that raises is logged and breaks nothing. Their keyword arguments are
``account`` and ``reason`` (the flow, the actor, or text for people), and for ``account_connected``
also ``created`` (whether the account is new). In ``account_disconnected`` the account has neither
a row nor a token.
"""

from __future__ import annotations

from django.dispatch import Signal

account_connected = Signal()
account_disconnected = Signal()
account_suspected = Signal()
account_revoked = Signal()
account_refreshed = Signal()

egnyte_event = Signal()
"""Something happened at Egnyte. A worker or a sweep sends it, with ``account`` and ``event``: a
``Notification`` of a webhook, or an ``Event`` of an account that is followed. If a receiver raises,
all receivers get the event again later, a bounded number of times."""

api_called = Signal()
"""For metrics: a client made one request to Egnyte's API. Sent at once, in the thread that made
it, with ``account``, ``method``, ``status`` (``None`` if there was no answer), ``duration``
(seconds) and ``request_id`` (Egnyte's, or ``None``)."""
