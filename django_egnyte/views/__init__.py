"""The pages under ``egnyte:``. Each turns a request into a service call, and its outcome into a
response."""

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
