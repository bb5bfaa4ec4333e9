"""The tables. State changes are in ``services``; a model here only guards what it holds."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.exceptions import FieldError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .choices import LIVE, EventKind, Flow, Scope, Status
from .fields import EncryptedTextField, ScopesField, SealedModel
from .managers import EgnyteAccountQuerySet, GuardedQuerySet
from .oauth import fingerprint

if TYPE_CHECKING:
    from .access import LinkedClient


def new_id() -> str:
    """A random name for a seal, a grant or a lease."""
    return uuid.uuid4().hex


class GuardedModel(SealedModel):
    """A row whose ``guarded_fields`` only services change once it exists."""

    guarded_fields: ClassVar[frozenset[str]]

    class Meta:
        abstract = True

    def save(self, **kwargs: Any) -> None:
        """Insert, or write what is not guarded.

        A stale instance would otherwise bring a dead token back, so on an existing row the
        guarded columns are left alone, and ``update_fields`` that names one is a ``FieldError``.
        """
        if self._state.adding:
            # With a primary key given, Django would try an UPDATE first.
            if self.pk is not None:
                kwargs["force_insert"] = True
            super().save(**kwargs)
            return
        if kwargs.get("update_fields") is None:
            kwargs["update_fields"] = [
                field.name
                for field in self._meta.concrete_fields
                if not field.primary_key
                and field.attname not in self.guarded_fields
                and field.attname not in self.get_deferred_fields()
            ]
        elif named := sorted(self.guarded_fields & set(kwargs["update_fields"])):
            raise FieldError(f"save() may not write {', '.join(named)}: only services do.")
        super().save(**kwargs)


class EgnyteAccount(GuardedModel):
    """One Egnyte identity that a user of this site has linked, and its tokens.

    ``domain`` is a full host. ``expires_at`` is empty for tokens that never expire.
    """

    guarded_fields = frozenset(
        {
            "access_token", "refresh_token", "token_version", "token_fingerprint",
            "refresh_fingerprint", "grant_id", "expires_at", "status", "status_reason",
            "lease", "leased_until", "seal_id", "domain", "user", "user_id", "egnyte_user_id",
        }
    )  # fmt: skip

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="egnyte_accounts",
        verbose_name=_("user"),
    )
    domain = models.CharField(_("domain"), max_length=255)
    egnyte_user_id = models.BigIntegerField(_("Egnyte user id"))
    username = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    first_name = models.CharField(_("first name"), max_length=255, blank=True)
    last_name = models.CharField(_("last name"), max_length=255, blank=True)
    email = models.CharField(_("e-mail address"), max_length=254, blank=True)
    scopes = ScopesField(_("scopes"), default=list, blank=True)
    flow = models.CharField(_("flow"), max_length=32, choices=Flow, default=Flow.AUTHORIZATION_CODE)

    seal_id = models.CharField(max_length=32, unique=True, default=new_id, editable=False)
    access_token = EncryptedTextField(_("access token"), default="", blank=True, editable=False)
    refresh_token = EncryptedTextField(_("refresh token"), default="", blank=True, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    token_version = models.PositiveBigIntegerField(_("token version"), default=1, editable=False)
    token_fingerprint = models.CharField(max_length=64, default="", editable=False, db_index=True)
    refresh_fingerprint = models.CharField(max_length=64, default="", editable=False, db_index=True)
    grant_id = models.CharField(max_length=32, default=new_id, editable=False, db_index=True)

    status = models.CharField(_("status"), max_length=16, choices=Status, default=Status.ACTIVE)
    status_reason = models.CharField(_("reason"), max_length=255, blank=True)
    is_default = models.BooleanField(_("default account"), default=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    connected_at = models.DateTimeField(_("connected at"), default=timezone.now)
    last_validated_at = models.DateTimeField(_("last validated at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)

    # The sweeps' agenda. The first is for validation, the second for refreshing (empty: never).
    next_attempt_at = models.DateTimeField(default=timezone.now, editable=False)
    next_refresh_at = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    lease = models.CharField(max_length=32, default="", editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)

    objects = EgnyteAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("Egnyte account")
        verbose_name_plural = _("Egnyte accounts")
        base_manager_name = "objects"
        permissions = [
            ("validate_egnyteaccount", "Can have Egnyte accounts validated"),
            ("refresh_egnyteaccount", "Can have Egnyte accounts refreshed"),
            ("revoke_egnyteaccount", "Can revoke Egnyte accounts"),
            ("ask_reconnect_egnyteaccount", "Can ask users to reconnect Egnyte accounts"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "domain", "egnyte_user_id"], name="egnyte_account_unique"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "next_attempt_at"], name="egnyte_account_validate"),
            models.Index(fields=["status", "next_refresh_at"], name="egnyte_account_refresh"),
            models.Index(fields=["domain", "status"], name="egnyte_account_domain"),
            # For the admin: the health page and two filters read nothing but these.
            models.Index(fields=["last_validated_at", "status"], name="egnyte_account_validated"),
            models.Index(
                fields=["expires_at", "status", "next_refresh_at"], name="egnyte_account_expires"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username or self.egnyte_user_id} @ {self.domain}"

    def seal_context(self, field: str) -> str:
        return _seal_context(field, self.seal_id, self.domain, str(self.user_id))

    def seal_values(self) -> None:
        # Whoever makes a row must name its tokens: the outbox tells them apart by that alone.
        for token, name in (
            ("access_token", "token_fingerprint"),
            ("refresh_token", "refresh_fingerprint"),
        ):
            if self.__dict__.get(token) and not getattr(self, name):
                setattr(self, name, fingerprint(self.domain, getattr(self, token)))
        super().seal_values()

    @property
    def is_live(self) -> bool:
        """Whether the token is in use: active or suspect."""
        return self.status in LIVE

    @property
    def scope_labels(self) -> list[str]:
        """What the token may be used for, in words. Empty means everything."""
        return [str(Scope(s).label) if s in Scope.values else s for s in self.scopes]

    @property
    def client(self) -> LinkedClient:
        """An ``EgnyteClient`` for use outside requests. Makes no query and no call by itself."""
        from .access import client_of

        return client_of(self)


class PendingRevocation(GuardedModel):
    """The outbox: a token that no account holds, or that none holds yet, still to be revoked.

    It has no foreign key, so that it outlives the user. ``user_ref`` is the user's primary key as
    text, ``account_ref`` the account's (empty before there is one).
    """

    guarded_fields = frozenset(
        {
            "access_token", "refresh_token", "fingerprint", "refresh_fingerprint", "grant_id",
            "expires_at", "seal_id", "domain", "user_ref", "not_before", "claim", "claimed_until",
        }
    )  # fmt: skip

    user_ref = models.CharField(_("user"), max_length=64, db_index=True)
    account_ref = models.BigIntegerField(_("account"), null=True, blank=True)
    domain = models.CharField(_("domain"), max_length=255)
    username = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    seal_id = models.CharField(max_length=32, editable=False)
    access_token = EncryptedTextField(default="", blank=True, editable=False)
    refresh_token = EncryptedTextField(default="", blank=True, editable=False)
    fingerprint = models.CharField(_("fingerprint"), max_length=64, editable=False, db_index=True)
    refresh_fingerprint = models.CharField(max_length=64, default="", editable=False, db_index=True)
    grant_id = models.CharField(max_length=32, editable=False, db_index=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=32, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    not_before = models.DateTimeField(_("not before"), default=timezone.now)
    claim = models.CharField(max_length=32, default="", editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.CharField(_("last error"), max_length=255, blank=True)

    objects = GuardedQuerySet["PendingRevocation"].as_manager()

    class Meta:
        verbose_name = _("pending revocation")
        verbose_name_plural = _("pending revocations")
        base_manager_name = "objects"
        permissions = [
            ("retry_pendingrevocation", "Can retry pending revocations"),
            ("abandon_pendingrevocation", "Can abandon pending revocations"),
        ]
        indexes = [
            models.Index(fields=["not_before", "domain"], name="egnyte_revocation_due"),
        ]

    def __str__(self) -> str:
        return f"{self.fingerprint[:8]} @ {self.domain}"

    def seal_context(self, field: str) -> str:
        return _seal_context(field, self.seal_id, self.domain, self.user_ref)


class AccountEvent(models.Model):
    """An append-only history: who or what did what to which account, and why. No secrets.

    Nothing cascades into it. ``actor`` is ``user:<pk>``, ``admin:<pk>``, ``task``, ``command``
    or ``client``.
    """

    created_at = models.DateTimeField(_("at"), default=timezone.now, editable=False, db_index=True)
    kind = models.CharField(_("event"), max_length=32, choices=EventKind)
    actor = models.CharField(_("actor"), max_length=80, blank=True)
    account_ref = models.BigIntegerField(_("account"), null=True, blank=True)
    user_ref = models.CharField(_("user"), max_length=64, blank=True)
    domain = models.CharField(_("domain"), max_length=255, blank=True)
    username = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    reason = models.CharField(_("reason"), max_length=255, blank=True)

    class Meta:
        verbose_name = _("account event")
        verbose_name_plural = _("account events")
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["kind", "created_at"], name="egnyte_event_kind"),
            models.Index(fields=["account_ref", "created_at"], name="egnyte_event_account"),
            models.Index(fields=["user_ref", "kind", "created_at"], name="egnyte_event_user"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.username} @ {self.domain}"

    def save(self, **kwargs: Any) -> None:
        if not self._state.adding:
            raise FieldError("The history is append-only.")
        super().save(**kwargs)


class SpentState(models.Model):
    """A state that a callback has used. The unique column stops the second of two at once."""

    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("spent state")
        verbose_name_plural = _("spent states")

    def __str__(self) -> str:
        return self.digest[:8]


class KeyState(models.Model):
    """What all workers must know of the API key: its budget at the token endpoint, and how many
    of the last answers were deaths. One row for each key, named by a hash of the client id."""

    key_digest = models.CharField(max_length=64, unique=True)
    hour_started_at = models.DateTimeField(null=True)
    token_requests = models.PositiveIntegerField(default=0)
    link_requests = models.PositiveIntegerField(default=0)
    held_off_until = models.DateTimeField(null=True)
    answers = models.PositiveIntegerField(default=0)
    deaths = models.PositiveIntegerField(default=0)
    verdicts_paused_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("API key state")
        verbose_name_plural = _("API key states")

    def __str__(self) -> str:
        return self.key_digest[:8]


class HostState(models.Model):
    """A host of Egnyte's that does not answer, and until when the sweeps leave it alone."""

    host = models.CharField(max_length=255, unique=True)
    failures = models.PositiveIntegerField(default=0)
    held_off_until = models.DateTimeField(null=True, db_index=True)
    last_error = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = _("Egnyte host")
        verbose_name_plural = _("Egnyte hosts")

    def __str__(self) -> str:
        return self.host


def _seal_context(field: str, seal_id: str, domain: str, user_ref: str) -> str:
    # An account's value and its copy in the outbox share the context: it moves as it is.
    return "|".join((field, seal_id, domain, user_ref))
