"""The admin: linked accounts, the grants, the history, and the health of it all."""

from .accounts import EgnyteAccountAdmin
from .events import AccountEventAdmin
from .grants import EgnyteGrantAdmin

__all__ = ["AccountEventAdmin", "EgnyteAccountAdmin", "EgnyteGrantAdmin"]
