"""An Egnyte in memory, for development without an account and for tests. Loopback only.

It speaks the parts of Egnyte's protocol that this package uses, from the consent page to
the throttles, and breaks on demand (`Sandbox.faults`). It imports neither Django nor any
other part of this package.
"""

from .sandbox import Sandbox
from .server import SandboxServer
from .state import Issued, LiveGrant, LiveToken, LoggedRequest, Settings, TokenPolicy

__all__ = [
    "Issued",
    "LiveGrant",
    "LiveToken",
    "LoggedRequest",
    "Sandbox",
    "SandboxServer",
    "Settings",
    "TokenPolicy",
]
