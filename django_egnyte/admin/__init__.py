"""The admin: linked accounts, the outbox, the history, and the health of it all."""

from .accounts import EgnyteAccountAdmin
from .events import AccountEventAdmin
from .revocations import PendingRevocationAdmin

__all__ = ["AccountEventAdmin", "EgnyteAccountAdmin", "PendingRevocationAdmin"]
