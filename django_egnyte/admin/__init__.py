"""The admin: linked accounts, grants, the history, and the health page."""

from .accounts import EgnyteAccountAdmin
from .events import AccountEventAdmin
from .grants import EgnyteGrantAdmin

__all__ = ["AccountEventAdmin", "EgnyteAccountAdmin", "EgnyteGrantAdmin"]
