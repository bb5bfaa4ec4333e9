"""The tables. ``services`` change their state; the models only prevent other writes.

An account points to the token in use. Tokens that come from one consent form a grant. A grant that
no account points into is revoked at Egnyte, and then deleted.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

from django.conf import settings
from django.core.exceptions import FieldError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .choices import LIVE, EventKind, EventSource, Flow, LeasedFor, Purpose, Release, Scope, Status
from .exceptions import DecryptionError
from .fields import EncryptedTextField, ScopesField, unseal
from .managers import AppQuerySet, GuardedQuerySet
from .secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import _User
    from django.db.models.expressions import Combinable

    from .access import LinkedClient

    # The types that can be assigned to a field and read from it. Only mypy with the plugin of
    # django-stubs would infer them; other type checkers need them written out.
    Text = models.CharField[str, str]
    TextOrNone = models.CharField[str | None, str | None]
    Flag = models.BooleanField[bool, bool]
    Number = models.IntegerField[int, int]
    NumberOrNone = models.IntegerField[int | None, int | None]
    Moment = models.DateTimeField[datetime | Combinable, datetime]
    MomentOrNone = models.DateTimeField[datetime | Combinable | None, datetime | None]


# For a user's primary key as text, which some sites make the name or the e-mail address.
LONGEST_KEY: Final = 255


def new_id() -> str:
    """A random name for a seal or a lease."""
    return uuid.uuid4().hex


class AppModel(models.Model):
    """A table of this app, found on the app's one database."""

    class Meta:
        abstract = True
        base_manager_name = "objects"


class GuardedModel(AppModel):
    """A row whose ``guarded_fields`` may be set on insert, and later only by services."""

    guarded_fields: ClassVar[frozenset[str]]
    # Columns that services write often: ``save()`` writes them only by ``update_fields``.
    unsaved_fields: ClassVar[frozenset[str]] = frozenset()

    class Meta(AppModel.Meta):
        abstract = True

    def save(self, **kwargs: Any) -> None:
        """Insert the row, or update the columns that are not guarded.

        An update skips ``guarded_fields`` and ``unsaved_fields``, because a stale instance could
        otherwise restore an earlier state. Raises ``FieldError`` if ``update_fields`` names a
        guarded field.
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
                if not (field.primary_key or field.generated)
                and field.attname not in self.guarded_fields | self.unsaved_fields
                and field.attname not in self.get_deferred_fields()
            ]
        elif named := sorted(self.guarded_fields & set(kwargs["update_fields"])):
            raise FieldError(f"save() may not write {', '.join(named)}: only services may.")
        super().save(**kwargs)


class EgnyteGrant(GuardedModel):
    """All tokens that come from one consent of a user, including those of refreshes.

    If ``release_at`` is set, the revoker revokes the grant from then on, unless an account uses one
    of its tokens. A grant has no foreign key to a user, because it must stay when the user is
    deleted. ``user_ref`` is the user's primary key as text. ``account_ref`` is the account's
    primary key, empty before there is an account.
    """

    guarded_fields = frozenset(
        {
            "domain", "key_digest", "fingerprint", "generation", "next_refresh_at",
            "refresh_attempts", "refresh_refused_at", "lease", "leased_until", "leased_for",
            "release_at", "revoke_refreshes",
        }
    )  # fmt: skip

    domain: Text = models.CharField(_("domain"), max_length=255)
    key_digest: Text = models.CharField(_("API key"), max_length=64, editable=False)
    fingerprint: Text = models.CharField(
        _("fingerprint"),
        max_length=64,
        editable=False,
        help_text=_("Fingerprint of the first access token of the grant."),
    )
    generation: Number = models.PositiveIntegerField(default=1, editable=False)
    next_refresh_at: MomentOrNone = models.DateTimeField(
        _("next refresh at"), null=True, blank=True, editable=False
    )
    refresh_attempts: Number = models.PositiveIntegerField(default=0, editable=False)
    refresh_refused_at: MomentOrNone = models.DateTimeField(
        _("refresh refused at"), null=True, blank=True, editable=False
    )
    lease: Text = models.CharField(max_length=32, default="", editable=False)
    leased_until: MomentOrNone = models.DateTimeField(null=True, editable=False)
    leased_for: Text = models.CharField(
        max_length=16, choices=LeasedFor, default="", blank=True, editable=False
    )
    release_at: MomentOrNone = models.DateTimeField(_("to be revoked at"), null=True, blank=True)
    reason: Text = models.CharField(_("reason"), max_length=32, choices=Release, blank=True)
    revoke_attempts: Number = models.PositiveIntegerField(_("attempts"), default=0)
    revoke_refreshes: Number = models.PositiveIntegerField(default=0, editable=False)
    last_error: Text = models.CharField(_("last error"), max_length=255, blank=True)
    user_ref: Text = models.CharField(_("user"), max_length=LONGEST_KEY)
    account_ref: NumberOrNone = models.BigIntegerField(_("account"), null=True, blank=True)
    username: Text = models.CharField(_("Egnyte username"), max_length=255, blank=True)
    flow: Text = models.CharField(_("flow"), max_length=32, choices=Flow, blank=True)
    created_at: Moment = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects: ClassVar[GuardedQuerySet[EgnyteGrant]] = GuardedQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:
        id: int

    class Meta(GuardedModel.Meta):
        verbose_name = _("Egnyte grant")
        verbose_name_plural = _("Egnyte grants")
        permissions = [
            ("retry_egnytegrant", "Can retry revocations"),
            ("abandon_egnytegrant", "Can abandon revocations"),
        ]
        constraints = [
            # With unique=True, Django would create a second index for LIKE on PostgreSQL.
            models.UniqueConstraint(fields=["fingerprint"], name="egnyte_grant_begun"),
        ]
        indexes = [
            models.Index(fields=["release_at", "domain"], name="egnyte_grant_release"),
            models.Index(fields=["next_refresh_at"], name="egnyte_grant_refresh"),
            # Finds the grants in use of another API key, which are few or none.
            models.Index(fields=["key_digest", "release_at"], name="egnyte_grant_key"),
            models.Index(fields=["user_ref"], name="egnyte_grant_user"),
            # Finds the leases, which are few.
            models.Index(fields=["leased_until"], name="egnyte_grant_leased"),
        ]

    def __str__(self) -> str:
        return f"{self.fingerprint[:8]} @ {self.domain}"


class TokenPair(NamedTuple):
    """A decrypted token, as ``EgnyteToken.open()`` returns it."""

    access_token: Secret
    refresh_token: Secret


class EgnyteToken(GuardedModel):
    """One answer of the token endpoint, encrypted for one user of this site.

    The row never changes, except that key rotation encrypts it again. ``generation`` numbers the
    answers of a grant from 1. It is 0 for an incomplete answer, which is never used and only
    revoked. ``refreshed_from`` is the fingerprint of the refresh token that was exchanged for it.
    """

    guarded_fields = frozenset(
        {
            "grant", "grant_id", "domain", "user_ref", "seal_id", "access_token",
            "refresh_token", "fingerprint", "refresh_fingerprint", "refreshed_from", "generation",
            "expires_at",
        }
    )  # fmt: skip

    grant: models.ForeignKey[EgnyteGrant, EgnyteGrant] = models.ForeignKey(
        EgnyteGrant, on_delete=models.CASCADE, related_name="tokens", verbose_name=_("grant")
    )
    domain: Text = models.CharField(_("domain"), max_length=255)
    user_ref: Text = models.CharField(_("user"), max_length=LONGEST_KEY)
    seal_id: Text = models.CharField(max_length=32, default=new_id, editable=False)
    access_token = EncryptedTextField(_("access token"), editable=False)
    refresh_token = EncryptedTextField(_("refresh token"), default="", blank=True, editable=False)
    fingerprint: Text = models.CharField(_("fingerprint"), max_length=64, editable=False)
    refresh_fingerprint: Text = models.CharField(max_length=64, default="", editable=False)
    refreshed_from: Text = models.CharField(max_length=64, default="", editable=False)
    generation: Number = models.PositiveIntegerField(default=1, editable=False)
    expires_at: MomentOrNone = models.DateTimeField(_("expires at"), null=True, blank=True)
    created_at: Moment = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects: ClassVar[GuardedQuerySet[EgnyteToken]] = GuardedQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:
        id: int
        grant_id: int

    class Meta(GuardedModel.Meta):
        verbose_name = _("Egnyte token")
        verbose_name_plural = _("Egnyte tokens")
        constraints = [models.UniqueConstraint(fields=["seal_id"], name="egnyte_token_seal")]
        indexes = [
            # With db_index, Django would create a second index for LIKE on PostgreSQL.
            models.Index(fields=["fingerprint"], name="egnyte_token_fingerprint"),
            models.Index(fields=["refresh_fingerprint"], name="egnyte_token_refreshes"),
        ]

    def __str__(self) -> str:
        return f"{self.fingerprint[:8]} @ {self.domain}"

    def seal_context(self, field: str) -> str:
        """The encryption context: a value can be decrypted only in this field of this row."""
        return "|".join((field, self.seal_id, self.domain, self.user_ref))

    def open(self) -> TokenPair:
        """Decrypt both tokens. ``DecryptionError`` if no key decrypts them."""
        return TokenPair(
            unseal(self.access_token, self.seal_context("access_token")),
            unseal(self.refresh_token, self.seal_context("refresh_token")),
        )

    def open_access_token(self) -> Secret:
        """Decrypt only the access token. ``DecryptionError`` if no key decrypts it."""
        return unseal(self.access_token, self.seal_context("access_token"))

    @property
    def is_expired(self) -> bool:
        """Whether the access token has expired, by the lifetime that Egnyte announced with it."""
        return self.expires_at is not None and self.expires_at <= timezone.now()


# Columns of a token that calls do not need. A refresh reads the row again.
UNCALLED: Final = ("refresh_token", "refreshed_from", "created_at")


class EgnyteAccountQuerySet(GuardedQuerySet["EgnyteAccount"]):
    """The methods of ``EgnyteAccount.objects``, which are public."""

    def live(self) -> Self:
        """Accounts whose token is in use: active or suspect."""
        return self.filter(status__in=LIVE)

    def for_user(self, user: Any) -> Self:
        """The accounts of the user. Empty for an anonymous user."""
        return self.filter(user_id=user.pk) if user.is_authenticated else self.none()

    def due_for_validation(self, now: datetime) -> Self:
        """Live accounts with a validation due at ``now``, the longest overdue first."""
        return self.live().filter(next_validation_at__lte=now).order_by("next_validation_at")

    def with_token(self) -> Self:
        """Read the token and the grant in the same query."""
        return self.select_related("token__grant")

    def for_calls(self) -> Self:
        """Read the token in the same query, without the columns that calls do not need."""
        return self.select_related("token").defer(*(f"token__{name}" for name in UNCALLED))


class EgnyteAccount(GuardedModel):
    """One Egnyte identity that a user of this site has linked.

    ``domain`` is a full host. ``token`` is the token in use, or null if the account is revoked.
    """

    guarded_fields = frozenset(
        {
            "token", "token_id", "status", "status_reason", "domain", "user", "user_id",
            "egnyte_user_id", "is_default", "default_of",
        }
    )  # fmt: skip
    unsaved_fields = frozenset(
        {
            "flow", "connected_at", "last_validated_at", "last_used_at", "next_validation_at",
            "validation_attempts",
        }
    )  # fmt: skip
    identity_fields: ClassVar = ("user_id", "domain", "egnyte_user_id")

    user: models.ForeignKey[_User | Combinable, _User] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,  # The unique constraint begins with it, so no index.
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
    token: models.ForeignKey[EgnyteToken | None, EgnyteToken | None] = models.ForeignKey(
        EgnyteToken,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="accounts",
        verbose_name=_("token"),
    )
    status: Text = models.CharField(
        _("status"), max_length=16, choices=Status, default=Status.ACTIVE
    )
    status_reason: Text = models.CharField(_("reason"), max_length=255, blank=True)
    is_default: Flag = models.BooleanField(_("default account"), default=False)
    # The user's primary key if this is the default account, else null. It is unique, so a user has
    # at most one default. A conditional constraint would not work on MariaDB.
    default_of: TextOrNone = models.CharField(max_length=LONGEST_KEY, null=True, editable=False)
    # For the admin's search, which ignores case and needs an index on lower-case values.
    username_lower: models.GeneratedField = models.GeneratedField(
        expression=Lower("username"),
        output_field=models.CharField(max_length=255),
        db_persist=True,
    )
    email_lower: models.GeneratedField = models.GeneratedField(
        expression=Lower("email"),
        output_field=models.CharField(max_length=254),
        db_persist=True,
    )
    created_at: Moment = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    connected_at: Moment = models.DateTimeField(_("connected at"), default=timezone.now)
    last_validated_at: MomentOrNone = models.DateTimeField(
        _("last validated at"), null=True, blank=True
    )
    last_used_at: MomentOrNone = models.DateTimeField(_("last used at"), null=True, blank=True)
    next_validation_at: Moment = models.DateTimeField(
        _("next validation at"), default=timezone.now, editable=False
    )
    validation_attempts: Number = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[EgnyteAccountQuerySet] = EgnyteAccountQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:
        id: int
        user_id: Any
        token_id: int | None

        def get_flow_display(self) -> str: ...
        def get_status_display(self) -> str: ...

    class Meta(GuardedModel.Meta):
        verbose_name = _("Egnyte account")
        verbose_name_plural = _("Egnyte accounts")
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
            models.UniqueConstraint(fields=["default_of"], name="egnyte_account_default"),
        ]
        indexes = [
            models.Index(fields=["status", "next_validation_at"], name="egnyte_account_validate"),
            models.Index(fields=["domain", "status"], name="egnyte_account_domain"),
            # For the admin: the health page and a filter read only this index.
            models.Index(fields=["last_validated_at", "status"], name="egnyte_account_validated"),
            *(
                models.Index(
                    fields=[name], opclasses=["varchar_pattern_ops"], name=f"egnyte_account_{name}"
                )
                for name in ("username_lower", "email_lower")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.username or self.egnyte_user_id} @ {self.domain}"

    def save(self, **kwargs: Any) -> None:
        """As ``GuardedModel.save()``. ``FieldError`` if the user, domain or Egnyte user changed.

        To give an account to another user, call ``django_egnyte.accounts.reassign()``.
        """
        if not self._state.adding:
            deferred = self.get_deferred_fields()
            known = [name for name in self.identity_fields if name not in deferred]
            rows = type(self)._base_manager.filter(pk=self.pk).values(*known)
            stored = rows.first() if known else None
            moved = [name for name in known if stored and stored[name] != getattr(self, name)]
            if moved:
                raise FieldError(
                    f"An account's {', '.join(moved)} cannot be changed. To give it to another "
                    "user, call django_egnyte.accounts.reassign()."
                )
        super().save(**kwargs)

    @property
    def is_live(self) -> bool:
        """Whether the token is in use: active or suspect."""
        return self.status in LIVE

    @property
    def expires_at(self) -> datetime | None:
        """When the access token expires. ``None`` if it never expires, or if there is none.

        Makes one query unless the account was read with its token.
        """
        token = self.known_token
        return token.expires_at if token is not None else None

    @property
    def known_token(self) -> EgnyteToken | None:
        """``token``, or ``None`` if this instance is stale and the token was deleted."""
        try:
            return self.token
        except EgnyteToken.DoesNotExist:
            return None

    @property
    def scope_labels(self) -> list[str]:
        """Descriptions of the token's scopes. Empty means that everything is allowed."""
        return [Scope.label_of(scope) for scope in self.scopes]

    def open_token(self) -> str:
        """The decrypted access token, for code that cannot use ``client``.

        Raises ``DecryptionError`` if no key decrypts it, or if the account has no token that was
        encrypted for its user and domain.
        """
        return self.opened_access_token().reveal()

    def opened_access_token(self) -> Secret:
        """The same as ``open_token()``, but as a ``Secret``."""
        return self._own_token().open_access_token()

    def opened_token(self) -> TokenPair:
        """Both decrypted tokens. Raises ``DecryptionError`` as ``open_token()`` does."""
        return self._own_token().open()

    def _own_token(self) -> EgnyteToken:
        token = self.known_token
        if token is None or (token.user_ref, token.domain) != (str(self.user_id), self.domain):
            raise DecryptionError(
                "The account has no token that was encrypted for its user and domain.",
                hint="Ask the user to reconnect the account.",
            )
        return token

    @property
    def client(self) -> LinkedClient:
        """An ``EgnyteClient`` for use outside requests. The property makes no query and no call."""
        from .access import client_of

        return client_of(self)


class AccountEvent(AppModel):
    """One entry of the append-only history: who did what to an account, and why. No secrets.

    It has no foreign keys, so it stays when accounts and users are deleted. ``actor`` is
    ``user:<pk>``, ``admin:<pk>``, ``task``, ``command``, ``client``, ``reassign`` or ``delete``.
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

    objects: ClassVar[AppQuerySet[AccountEvent]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:

        def get_kind_display(self) -> str: ...

    class Meta(AppModel.Meta):
        verbose_name = _("account event")
        verbose_name_plural = _("account events")
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["kind", "created_at"], name="egnyte_event_kind"),
            models.Index(fields=["account_ref", "created_at"], name="egnyte_event_account"),
            models.Index(fields=["user_ref", "kind", "created_at"], name="egnyte_event_user"),
            # For the admin's search and its filter.
            models.Index(fields=["domain", "created_at"], name="egnyte_event_domain"),
            models.Index(fields=["username", "created_at"], name="egnyte_event_name"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.username} @ {self.domain}"

    def save(self, **kwargs: Any) -> None:
        if not self._state.adding:
            raise FieldError("The history is append-only.")
        super().save(**kwargs)


class ReceivedEvent(AppModel):
    """An Egnyte event for the site's receivers. It is handled at ``due_at``, then kept a while.

    The unique ``digest`` of account, source and event prevents duplicates. ``payload`` is JSON, and
    empty once the event was handled. There is no foreign key to the account, so any code can delete
    accounts.
    """

    digest: Text = models.CharField(max_length=64, unique=True)
    account_ref: Number = models.BigIntegerField(_("account"))
    domain: Text = models.CharField(_("domain"), max_length=255)
    source: Text = models.CharField(max_length=16, choices=EventSource)
    payload: models.TextField[str, str] = models.TextField(blank=True)
    received_at: Moment = models.DateTimeField(_("received at"), default=timezone.now)
    due_at: MomentOrNone = models.DateTimeField(_("due at"), null=True)
    attempts: Number = models.PositiveIntegerField(_("attempts"), default=0)
    last_error: Text = models.CharField(_("last error"), max_length=255, blank=True)

    objects: ClassVar[AppQuerySet[ReceivedEvent]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    if TYPE_CHECKING:
        id: int

    class Meta(AppModel.Meta):
        verbose_name = _("received event")
        verbose_name_plural = _("received events")
        indexes = [
            models.Index(fields=["due_at"], name="egnyte_received_due"),
            models.Index(fields=["received_at"], name="egnyte_received_at"),
            models.Index(
                fields=["account_ref", "source", "received_at"], name="egnyte_received_by"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.digest[:8]} @ {self.domain}"


class EventCursor(AppModel):
    """An account whose events are polled, and the id of the last event that was stored."""

    account_ref: Number = models.BigIntegerField(_("account"), unique=True)
    domain: Text = models.CharField(_("domain"), max_length=255)
    position: Number = models.BigIntegerField(_("position"))
    next_poll_at: Moment = models.DateTimeField(
        _("next poll at"), default=timezone.now, db_index=True
    )
    attempts: Number = models.PositiveIntegerField(_("attempts"), default=0)
    last_error: Text = models.CharField(_("last error"), max_length=255, blank=True)

    objects: ClassVar[AppQuerySet[EventCursor]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(AppModel.Meta):
        verbose_name = _("event cursor")
        verbose_name_plural = _("event cursors")

    def __str__(self) -> str:
        return f"{self.position} @ {self.domain}"


class SpentState(AppModel):
    """A state that a callback has used. The unique column refuses a second, parallel use."""

    digest: Text = models.CharField(max_length=64, unique=True)
    expires_at: Moment = models.DateTimeField(db_index=True)

    objects: ClassVar[AppQuerySet[SpentState]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(AppModel.Meta):
        verbose_name = _("spent state")
        verbose_name_plural = _("spent states")

    def __str__(self) -> str:
        return self.digest[:8]


class TokenRequest(AppModel):
    """One request to the token endpoint, charged before it is made. See ``services.ledger``.

    ``failed`` marks any failure; ``refused`` one of the user: a wrong code, password or host.
    """

    key_digest: Text = models.CharField(max_length=64)
    user_ref: Text = models.CharField(max_length=LONGEST_KEY, blank=True)
    host: Text = models.CharField(max_length=255)
    username_digest: Text = models.CharField(max_length=64, blank=True)
    purpose: Text = models.CharField(max_length=16, choices=Purpose)
    failed: Flag = models.BooleanField(default=False)
    refused: Flag = models.BooleanField(default=False)
    created_at: Moment = models.DateTimeField(default=timezone.now)

    objects: ClassVar[AppQuerySet[TokenRequest]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(AppModel.Meta):
        verbose_name = _("token request")
        verbose_name_plural = _("token requests")
        indexes = [
            models.Index(fields=["created_at"], name="egnyte_request_time"),
            models.Index(fields=["user_ref", "created_at"], name="egnyte_request_user"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} @ {self.host}"


class KeyState(AppModel):
    """The state of an API key at one host.

    ``accepted_at``: when Egnyte last accepted the key there. ``doubted_at``: since when the key may
    be suspended. ``held_off_until``: no token may be requested before this time.
    """

    key_digest: Text = models.CharField(max_length=64)
    host: Text = models.CharField(max_length=255)
    accepted_at: MomentOrNone = models.DateTimeField(null=True)
    doubted_at: MomentOrNone = models.DateTimeField(null=True)
    held_off_until: MomentOrNone = models.DateTimeField(null=True)

    objects: ClassVar[AppQuerySet[KeyState]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(AppModel.Meta):
        verbose_name = _("API key state")
        verbose_name_plural = _("API key states")
        constraints = [
            models.UniqueConstraint(fields=["key_digest", "host"], name="egnyte_key_unique")
        ]

    def __str__(self) -> str:
        return f"{self.key_digest[:8]} @ {self.host}"


class HostState(AppModel):
    """An Egnyte host that does not answer, and until when the sweeps do not call it."""

    host: Text = models.CharField(max_length=255, unique=True)
    failures: Number = models.PositiveIntegerField(default=0)
    held_off_until: MomentOrNone = models.DateTimeField(null=True, db_index=True)
    last_error: Text = models.CharField(max_length=255, blank=True)

    objects: ClassVar[AppQuerySet[HostState]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(AppModel.Meta):
        verbose_name = _("Egnyte host")
        verbose_name_plural = _("Egnyte hosts")

    def __str__(self) -> str:
        return self.host


class SweepState(AppModel):
    """When a sweep last ran, and ``last_pk`` up to which it has gone through the grants."""

    name: Text = models.CharField(max_length=32, unique=True)
    ran_at: MomentOrNone = models.DateTimeField(null=True)
    last_pk: Number = models.BigIntegerField(default=0)

    objects: ClassVar[AppQuerySet[SweepState]] = AppQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(AppModel.Meta):
        verbose_name = _("sweep")
        verbose_name_plural = _("sweeps")

    def __str__(self) -> str:
        return self.name
