"""The tables. State changes are in ``services``; a model here only guards what it holds."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Final

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
    from datetime import datetime

    from django.contrib.auth.models import _User
    from django.db.models.expressions import Combinable

    from .access import LinkedClient

    # What may be assigned to a field, and what is read from it. Of all type checkers, only mypy
    # with django-stubs' plugin would find that out by itself.
    Text = models.CharField[str, str]
    Flag = models.BooleanField[bool, bool]
    Number = models.IntegerField[int, int]
    NumberOrNone = models.IntegerField[int | None, int | None]
    Moment = models.DateTimeField[datetime | Combinable, datetime]
    MomentOrNone = models.DateTimeField[datetime | Combinable | None, datetime | None]


# A user's primary key as text: the name or the e-mail address, in some sites.
LONGEST_KEY: Final = 255


def new_id() -> str:
    """A random name for a seal, a grant or a lease."""
    return uuid.uuid4().hex


class GuardedModel(SealedModel):
    """A row whose ``guarded_fields`` only services change once it exists."""

    guarded_fields: ClassVar[frozenset[str]]

    class Meta(SealedModel.Meta):
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

    user: models.ForeignKey[_User | Combinable, _User] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="egnyte_accounts",
        verbose_name=_("user"),
    )
    domain: Text = models.CharField(_("domain"), max_length=255)
    egnyte_user_id: Number = models.BigIntegerField(_("Egnyte user id"))
    username: Text = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    first_name: Text = models.CharField(_("first name"), max_length=255, blank=True)
    last_name: Text = models.CharField(_("last name"), max_length=255, blank=True)
    email: Text = models.CharField(_("e-mail address"), max_length=254, blank=True)
    scopes = ScopesField(_("scopes"), default=list, blank=True)
    flow: Text = models.CharField(
        _("flow"), max_length=32, choices=Flow, default=Flow.AUTHORIZATION_CODE
    )

    seal_id: Text = models.CharField(max_length=32, default=new_id, editable=False)
    access_token = EncryptedTextField(_("access token"), default="", blank=True, editable=False)
    refresh_token = EncryptedTextField(_("refresh token"), default="", blank=True, editable=False)
    expires_at: MomentOrNone = models.DateTimeField(_("expires at"), null=True, blank=True)
    token_version: Number = models.PositiveBigIntegerField(
        _("token version"), default=1, editable=False
    )
    token_fingerprint: Text = models.CharField(max_length=64, default="", editable=False)
    refresh_fingerprint: Text = models.CharField(max_length=64, default="", editable=False)
    grant_id: Text = models.CharField(max_length=32, default=new_id, editable=False)

    status: Text = models.CharField(
        _("status"), max_length=16, choices=Status, default=Status.ACTIVE
    )
    status_reason: Text = models.CharField(_("reason"), max_length=255, blank=True)
    is_default: Flag = models.BooleanField(_("default account"), default=False)
    created_at: Moment = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    connected_at: Moment = models.DateTimeField(_("connected at"), default=timezone.now)
    last_validated_at: MomentOrNone = models.DateTimeField(
        _("last validated at"), null=True, blank=True
    )
    last_used_at: MomentOrNone = models.DateTimeField(_("last used at"), null=True, blank=True)

    # The sweeps' agenda. The first is for validation, the second for refreshing (empty: never).
    next_attempt_at: Moment = models.DateTimeField(
        _("next validation at"), default=timezone.now, editable=False
    )
    next_refresh_at: MomentOrNone = models.DateTimeField(
        _("next refresh at"), null=True, editable=False
    )
    attempts: Number = models.PositiveIntegerField(default=0, editable=False)
    lease: Text = models.CharField(max_length=32, default="", editable=False)
    leased_until: MomentOrNone = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[EgnyteAccountQuerySet] = EgnyteAccountQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:
        id: int
        user_id: Any

        def get_flow_display(self) -> str: ...
        def get_status_display(self) -> str: ...

    class Meta(GuardedModel.Meta):
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
            models.UniqueConstraint(fields=["seal_id"], name="egnyte_account_seal"),
        ]
        indexes = [
            models.Index(fields=["status", "next_attempt_at"], name="egnyte_account_validate"),
            models.Index(fields=["status", "next_refresh_at"], name="egnyte_account_refresh"),
            models.Index(fields=["domain", "status"], name="egnyte_account_domain"),
            # Not by db_index, which on PostgreSQL makes a second one for LIKE: each validation
            # writes them all.
            models.Index(fields=["token_fingerprint"], name="egnyte_account_token"),
            models.Index(fields=["refresh_fingerprint"], name="egnyte_account_refreshes"),
            models.Index(fields=["grant_id"], name="egnyte_account_grant"),
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
            "refreshed_from",
        }
    )  # fmt: skip

    user_ref: Text = models.CharField(_("user"), max_length=LONGEST_KEY)
    account_ref: NumberOrNone = models.BigIntegerField(_("account"), null=True, blank=True)
    domain: Text = models.CharField(_("domain"), max_length=255)
    username: Text = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    seal_id: Text = models.CharField(max_length=32, editable=False)
    access_token = EncryptedTextField(default="", blank=True, editable=False)
    refresh_token = EncryptedTextField(default="", blank=True, editable=False)
    fingerprint: Text = models.CharField(_("fingerprint"), max_length=64, editable=False)
    refresh_fingerprint: Text = models.CharField(max_length=64, default="", editable=False)
    refreshed_from: Text = models.CharField(max_length=64, default="", editable=False)
    grant_id: Text = models.CharField(max_length=32, editable=False)
    expires_at: MomentOrNone = models.DateTimeField(_("expires at"), null=True, blank=True)
    reason: Text = models.CharField(_("reason"), max_length=32, blank=True)
    created_at: Moment = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    not_before: Moment = models.DateTimeField(_("not before"), default=timezone.now)
    claim: Text = models.CharField(max_length=32, default="", editable=False)
    claimed_until: MomentOrNone = models.DateTimeField(null=True, editable=False)
    attempts: Number = models.PositiveIntegerField(_("attempts"), default=0)
    last_error: Text = models.CharField(_("last error"), max_length=255, blank=True)

    objects: ClassVar[GuardedQuerySet[PendingRevocation]] = GuardedQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(GuardedModel.Meta):
        verbose_name = _("pending revocation")
        verbose_name_plural = _("pending revocations")
        base_manager_name = "objects"
        permissions = [
            ("retry_pendingrevocation", "Can retry pending revocations"),
            ("abandon_pendingrevocation", "Can abandon pending revocations"),
        ]
        indexes = [
            models.Index(fields=["not_before", "domain"], name="egnyte_revocation_due"),
            models.Index(fields=["user_ref"], name="egnyte_revocation_user"),
            models.Index(fields=["fingerprint"], name="egnyte_revocation_token"),
            models.Index(fields=["refresh_fingerprint"], name="egnyte_revocation_refresh"),
            models.Index(fields=["grant_id"], name="egnyte_revocation_grant"),
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

    created_at: Moment = models.DateTimeField(
        _("at"), default=timezone.now, editable=False, db_index=True
    )
    kind: Text = models.CharField(_("event"), max_length=32, choices=EventKind)
    actor: Text = models.CharField(_("actor"), max_length=LONGEST_KEY + 6, blank=True)
    account_ref: NumberOrNone = models.BigIntegerField(_("account"), null=True, blank=True)
    user_ref: Text = models.CharField(_("user"), max_length=LONGEST_KEY, blank=True)
    domain: Text = models.CharField(_("domain"), max_length=255, blank=True)
    username: Text = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    reason: Text = models.CharField(_("reason"), max_length=255, blank=True)

    if TYPE_CHECKING:

        def get_kind_display(self) -> str: ...

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

    digest: Text = models.CharField(max_length=64, unique=True)
    expires_at: Moment = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("spent state")
        verbose_name_plural = _("spent states")

    def __str__(self) -> str:
        return self.digest[:8]


class KeyState(models.Model):
    """What all workers must know of the API key: its budget at the token endpoint, and how many
    of the last answers were deaths. One row for each key, named by a hash of the client id."""

    key_digest: Text = models.CharField(max_length=64, unique=True)
    hour_started_at: MomentOrNone = models.DateTimeField(null=True)
    token_requests: Number = models.PositiveIntegerField(default=0)
    link_requests: Number = models.PositiveIntegerField(default=0)
    held_off_until: MomentOrNone = models.DateTimeField(null=True)
    answers: Number = models.PositiveIntegerField(default=0)
    deaths: Number = models.PositiveIntegerField(default=0)
    verdicts_paused_at: MomentOrNone = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("API key state")
        verbose_name_plural = _("API key states")

    def __str__(self) -> str:
        return self.key_digest[:8]


class HostState(models.Model):
    """A host of Egnyte's that does not answer, and until when the sweeps leave it alone."""

    host: Text = models.CharField(max_length=255, unique=True)
    failures: Number = models.PositiveIntegerField(default=0)
    held_off_until: MomentOrNone = models.DateTimeField(null=True, db_index=True)
    last_error: Text = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = _("Egnyte host")
        verbose_name_plural = _("Egnyte hosts")

    def __str__(self) -> str:
        return self.host


def _seal_context(field: str, seal_id: str, domain: str, user_ref: str) -> str:
    # An account's value and its copy in the outbox share the context: it moves as it is.
    return "|".join((field, seal_id, domain, user_ref))
