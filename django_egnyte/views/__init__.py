"""The pages under ``egnyte:``. Each translates a request for a service, and its outcome back."""

from .accounts import accounts, disconnect, make_default
from .callback import callback
from .connect import connect
from .flows import domain, implicit, password
from .webhook import webhook

__all__ = [
    "accounts",
    "callback",
    "connect",
    "disconnect",
    "domain",
    "implicit",
    "make_default",
    "password",
    "webhook",
]
