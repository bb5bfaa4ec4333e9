"""The pages under ``egnyte:``. Each translates a request for a service, and its outcome back."""

from .accounts import accounts, disconnect, make_default
from .callback import callback
from .connect import connect

__all__ = ["accounts", "callback", "connect", "disconnect", "make_default"]
