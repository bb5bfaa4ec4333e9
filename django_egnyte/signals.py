"""Signals for the site's own code. This app connects no receiver to them.

The sender is ``EgnyteAccount``. The signals about an account are sent after the commit. If a
receiver raises, the error is logged and the other receivers are called. The keyword arguments are
``account`` and ``reason`` (the flow, the actor, or text for people), and for ``account_connected``
also ``created`` (whether the account is new). In ``account_disconnected`` the account has neither a
row nor a token.
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
"""For metrics: a client made one request to Egnyte's API. It is sent in the thread of the request,
with ``account``, ``method``, ``status`` (``None`` if there was no answer), ``duration``
(seconds) and ``request_id`` (Egnyte's, or ``None``)."""
