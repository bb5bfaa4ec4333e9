"""Only ``open()`` and ``open_token()`` show a token of a model, and no other output does."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import serializers
from django.core.management import call_command
from django.db.models import F, Model
from django.forms.models import model_to_dict, modelform_factory
from rest_framework.serializers import ModelSerializer

from django_egnyte.accounts import follow
from django_egnyte.api.areas.notifications import Notification
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    EventCursor,
    HostState,
    KeyState,
    ReceivedEvent,
    SpentState,
    SweepState,
    TokenRequest,
)
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.events import receive
from django_egnyte.services.refresh import refresh
from tests import walk

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = list(apps.get_app_config("django_egnyte").get_models())
# Import it here: at import, it writes its defaults into the active settings.
pytest.importorskip("django_cryptography.conf")
CRYPTOGRAPHY_KEY = "a key of django-cryptography's, which is long enough"
CIPHERS = ["ciphers.FernetCipher", "django_cryptography.DjangoCryptographyCipher"]


@pytest.fixture(params=CIPHERS)
def secrets(
    request: Any, settings: Any, browser: Any, egnyte_sandbox: Any, egnyte_user: Any
) -> set[str]:
    """Fill every table. Returns the secrets that no row may show."""
    settings.EGNYTE_CIPHER = f"django_egnyte.{request.param}"
    settings.CRYPTOGRAPHY_KEY = CRYPTOGRAPHY_KEY
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    assert walk.come_back(browser, location).status_code == 302
    assert walk.link(browser, egnyte_sandbox, username="bdoe").status_code == 302
    found = {token.value for token in egnyte_sandbox.live_tokens()}
    kept, left = EgnyteAccount.objects.order_by("pk")
    refresh(kept, actor="test")
    disconnect(left.pk, actor="test")
    KeyState.objects.create(key_digest="0" * 64, host="acme.egnyte.com")
    HostState.objects.create(host="acme.egnyte.com")
    SweepState.objects.create(name="validations")
    follow(kept)
    event = Notification(event_id="1", event_type="fs:add_file", raw={"eventId": "1"})
    assert receive(kept.pk, [event])
    found |= {token.value for token in egnyte_sandbox.live_tokens()}
    found |= {walk.query_of(location)[name] for name in ("code", "state")}
    assert len(found) > 5
    return found | {settings.EGNYTE_CLIENT_SECRET, settings.SECRET_KEY, CRYPTOGRAPHY_KEY}


def rows() -> Iterator[Model]:
    """A row of every model, read anew, and accounts that were read with their tokens."""
    for model in MODELS:
        found = list(model._default_manager.all())
        assert found, model
        yield from found
    yield from EgnyteAccount.objects.with_token()
    yield from EgnyteAccount.objects.for_calls()


def attributes() -> Iterator[Any]:
    for row in rows():
        names = [name for name in dir(row) if not name.startswith("__") and name != "objects"]
        values = [getattr(row, name) for name in names]
        yield from (f"{value} {value!r}" for value in [*values, row])
        # For a method its owner, for an object all that it contains.
        yield from (repr(vars(value)) for value in values if hasattr(value, "__dict__"))


def columns() -> Iterator[Any]:
    for model in MODELS:
        manager = model._default_manager
        yield from manager.values()
        yield from manager.values_list()
        yield manager.in_bulk()
        yield manager.all()
    yield from EgnyteAccount.objects.values(
        "token__access_token", "token__refresh_token", "token__grant__fingerprint"
    )
    yield from EgnyteAccount.objects.annotate(shown=F("token__access_token")).values_list("shown")
    yield from EgnyteToken.objects.values("access_token").distinct()
    yield from EgnyteToken.objects.raw(f"SELECT * FROM {EgnyteToken._meta.db_table}")


def forms() -> Iterator[Any]:
    for row in rows():
        yield model_to_dict(row)
        yield modelform_factory(type(row), exclude=[])(instance=row).as_p()


def fixtures() -> Iterator[Any]:
    for form in ("json", "xml", "jsonl"):
        out = io.StringIO()
        call_command("dumpdata", "django_egnyte", "sessions", format=form, stdout=out)
        yield out.getvalue()
    yield serializers.serialize("python", rows())
    out = io.StringIO()
    call_command("dumpdata", "django_egnyte", use_base_manager=True, stdout=out)
    yield out.getvalue()


def pickles() -> Iterator[Any]:
    kept = [*rows(), *(model._default_manager.all() for model in MODELS)]
    kept += [model._default_manager.values() for model in MODELS]
    for each in kept:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            pickled = pickle.dumps(each, protocol)
            # Protocol 0 escapes everything but ASCII. The tokens here are ASCII.
            yield pickled.decode("latin-1")
            yield pickle.loads(pickled)
        yield copy.deepcopy(each)


def rest_framework() -> Iterator[Any]:
    for model in MODELS:
        for deep in (0, 1, 2):

            class Everything(ModelSerializer):  # type: ignore[type-arg]
                class Meta:
                    fields = "__all__"
                    depth = deep

            Everything.Meta.model = model  # type: ignore[attr-defined]
            shown = Everything(model._default_manager.all(), many=True)
            yield json.dumps(shown.data, default=str)
            yield repr(shown)


SHOWN = [attributes, columns, forms, fixtures, pickles, rest_framework]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.__name__)
def test_no_token_code_or_key_is_shown(secrets: set[str], shown: Callable[[], Any]) -> None:
    text = "\n".join(f"{each!s}\n{each!r}" for each in shown())
    assert "acme.egnyte.com" in text
    for secret in secrets:
        assert secret not in text


def test_every_model_has_been_looked_at() -> None:
    assert set(MODELS) == {
        AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken, EventCursor, HostState, KeyState,
        ReceivedEvent, SpentState, SweepState, TokenRequest,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["json", "xml", "jsonl"])
def test_a_dump_that_is_loaded_opens_again(
    secrets: set[str], egnyte_sandbox: Any, tmp_path: Path, form: str
) -> None:
    before = EgnyteAccount.objects.get()
    opened = [secret.reveal() for secret in before.opened_token()]
    dumped = tmp_path / f"dump.{form}"
    call_command("dumpdata", "django_egnyte", format=form, output=str(dumped), verbosity=0)
    for model in (EgnyteAccount, EgnyteToken, EgnyteGrant):
        rows = model._default_manager.all()
        rows._raw_delete(rows.db)
    for model in MODELS:
        model._default_manager.all().delete()
    assert not EgnyteToken.objects.exists()
    call_command("loaddata", str(dumped), verbosity=0)
    account = EgnyteAccount.objects.get()
    assert [secret.reveal() for secret in account.opened_token()] == opened
    assert account.client.userinfo()["username"] == "jsmith"
    disconnect(account.pk, actor="test")
    assert walk.orphans(egnyte_sandbox) == []
    assert egnyte_sandbox.live_tokens() == []
