"""The sandbox: an imitation of Egnyte in memory, for development and tests. Loopback only.

It has the parts of Egnyte's protocol that this package uses, from the consent page to the rate
limits, and simulates faults (`Sandbox.faults`). It imports neither Django nor any other part of
this package.
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
