"""The choices of the models' fields."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Flow(TextChoices):
    """How a token was obtained: by a grant of RFC 6749, or by Egnyte's Enhanced service."""

    AUTHORIZATION_CODE = "authorization_code", _("Authorization code")
    ENHANCED = "enhanced", _("Enhanced Authentication Service")
    IMPLICIT = "implicit", _("Implicit grant")
    PASSWORD = "password", _("Resource owner password")


class Status(TextChoices):
    """The state of an account's token.

    A ``SUSPECT`` account still works: Egnyte refused the token once, and a check is due.
    """

    ACTIVE = "active", _("Active")
    SUSPECT = "suspect", _("Suspect")
    REVOKED = "revoked", _("Revoked")


LIVE = (Status.ACTIVE, Status.SUSPECT)


class Release(TextChoices):
    """Why a grant is due for revocation."""

    ARRIVED = "arrived", _("Not linked yet")
    FAILED = "failed", _("Linking failed")
    RELINKED = "relinked", _("Replaced by a new connection")
    DISCONNECTED = "disconnected", _("Disconnected")
    REVOKED = "revoked", _("Revoked by this site")
    DEAD = "dead", _("Refused by Egnyte")
    FORGOTTEN = "forgotten", _("Account deleted without a signal")


class LeasedFor(TextChoices):
    """What the holder of a grant's lease does."""

    REFRESH = "refresh", _("Refresh")
    VERDICT = "verdict", _("Verdict")
    REVOKE = "revoke", _("Revocation")


class Purpose(TextChoices):
    """The purpose of a request to the token endpoint."""

    LINK = "link", _("Linking")
    IMPLICIT = "implicit", _("Linking with a token from the browser")
    REFRESH = "refresh", _("Refreshing")
    REVOKE = "revoke", _("Refreshing in order to revoke")
    PROOF = "proof", _("Checking the API key")


class EventKind(TextChoices):
    """The kinds of ``AccountEvent``."""

    CONNECTED = "connected", _("Connected")
    RECONNECTED = "reconnected", _("Reconnected")
    REASSIGNED = "reassigned", _("Given to another user")
    DISCONNECTED = "disconnected", _("Disconnected")
    REFRESHED = "refreshed", _("Token refreshed")
    REFRESH_REFUSED = "refresh_refused", _("Refresh token refused")
    SUSPECTED = "suspected", _("Token under suspicion")
    CLEARED = "cleared", _("Suspicion cleared")
    REVOKED = "revoked", _("Account revoked")
    LINK_FAILED = "link_failed", _("Linking failed")
    TOKEN_REVOKED = "token_revoked", _("Token revoked at Egnyte")
    TOKEN_EXPIRED = "token_expired", _("Token expired at Egnyte")
    TOKEN_DEAD = "token_dead", _("Token no longer valid at Egnyte")
    ABANDONED = "abandoned", _("Revocation abandoned")
    RECONNECT_ASKED = "reconnect_asked", _("Asked to reconnect")
    VALIDATION_ASKED = "validation_asked", _("Validation asked for")
    REFRESH_ASKED = "refresh_asked", _("Refresh asked for")
    RETRY_ASKED = "retry_asked", _("Retry of the revocation asked for")
    EVENTS_LOST = "events_lost", _("Events missed")


class EventSource(TextChoices):
    """How an event of Egnyte reached this site."""

    WEBHOOK = "webhook", _("Webhook")
    CURSOR = "cursor", _("Polling")


class Scope(TextChoices):
    """The scopes that Egnyte documents. Its authentication page has the first nine.

    Only newer pages name the others, so an unknown scope is a warning and never an error.
    """

    FILESYSTEM = "Egnyte.filesystem", _("Read, write and delete files and folders")
    USER = "Egnyte.user", _("Create, update and delete users")
    GROUP = "Egnyte.group", _("Create, update and delete groups")
    AUDIT = "Egnyte.audit", _("Generate audit reports")
    LINK = "Egnyte.link", _("Create and delete links to files and folders")
    PERMISSION = "Egnyte.permission", _("Read and change folder permissions")
    SALESFORCE = "Egnyte.salesforce", _("Work with the Salesforce integration")
    BOOKMARK = "Egnyte.bookmark", _("Read, add and delete bookmarks")
    LAUNCHWEBSESSION = "Egnyte.launchwebsession", _("Open Egnyte web pages as you")
    WEBHOOKS = "Egnyte.webhooks", _("Create and delete webhooks")
    AI = "Egnyte.ai", _("Use AI at Egnyte")
    SIGN = "Egnyte.sign", _("Work with signature requests")
    DOCUMENTPORTAL = "Egnyte.documentportal", _("Work with the document portal")
    UPLOADREQUESTS = "Egnyte.uploadrequests", _("Work with upload requests")
    ETMF = "Egnyte.etmf", _("Work with eTMF")
    CONTROLLEDDOCS = "Egnyte.controlleddocs", _("Work with controlled documents")
    PROJECTFOLDERS = "Egnyte.projectfolders", _("Work with project folders")
    INTEGRATIONS = "Egnyte.integrations", _("Work with integrations")

    @classmethod
    def label_of(cls, scope: str) -> str:
        """A scope in words. The scope itself if it is not known."""
        return str(cls(scope).label) if scope in cls.values else scope
