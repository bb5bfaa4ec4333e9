from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from django_egnyte.exceptions import TokenConflictError
from django_egnyte.models import EgnyteAccount, PendingRevocation
from django_egnyte.oauth import TokenAnswer, fingerprint
from django_egnyte.services import outbox
from django_egnyte.services.transactions import hence

from .conftest import HOST

pytestmark = pytest.mark.django_db

USING = DEFAULT_DB_ALIAS
DAY = timedelta(days=1)


def due_in(row):
    row.refresh_from_db()
    return row.not_before - timezone.now()


def about(span, expected):
    return abs(span - expected) < timedelta(seconds=5)


def put(answer, **changes):
    values = {"user_ref": "7", "grant_id": "a grant", "account_ref": None, "reason": "test"}
    return outbox.put_answer(answer, using=USING, host=HOST, **values | changes)


@pytest.mark.parametrize("expires_in", [None, 0, 3600])
def test_a_token_ends_when_its_answer_says_so(expires_in):
    ends = outbox.expiry(TokenAnswer("abc", expires_in=expires_in))
    if expires_in is None:
        assert ends is None
    else:
        assert about(ends - timezone.now(), timedelta(seconds=expires_in))


def test_a_new_token_is_left_alone_while_its_call_may_be_in_flight(egnyte_sandbox):
    row = put(TokenAnswer("abc", "def"), refreshed_from="an older one")
    assert about(due_in(row), timedelta(minutes=15))
    assert row.refreshed_from == "an older one"
    assert row.fingerprint == fingerprint(HOST, "abc")
    assert row.refresh_fingerprint == fingerprint(HOST, "def")


def test_a_token_that_must_not_be_used_is_due_at_once(egnyte_sandbox):
    row = put(TokenAnswer("abc", complete=False), refreshed_from="an older one")
    assert about(due_in(row), timedelta(0))
    assert (row.refreshed_from, row.refresh_fingerprint) == ("", "")


def test_an_account_that_holds_nothing_leaves_nothing(egnyte_account):
    EgnyteAccount.objects.write(access_token="", refresh_token="")
    egnyte_account.refresh_from_db()
    assert outbox.put_held(egnyte_account, using=USING, reason="test") is None
    assert not PendingRevocation.objects.exists()


def test_what_an_account_held_is_due_at_once(egnyte_account):
    row = outbox.put_held(egnyte_account, using=USING, reason="test")
    assert about(due_in(row), timedelta(0))
    assert (row.reason, row.opened_token().refresh_token.reveal()) == (
        "test",
        egnyte_account.opened_token().refresh_token.reveal(),
    )
    assert row.refresh_fingerprint == egnyte_account.refresh_fingerprint


@pytest.mark.parametrize("ends", [timedelta(hours=3), None])
def test_what_a_held_grant_superseded_waits_for_its_end(egnyte_account, ends):
    egnyte_account.expires_at = None if ends is None else timezone.now() + ends
    row = outbox.put_held(egnyte_account, using=USING, reason="test", grant_stays_held=True)
    assert about(due_in(row), ends or DAY)
    assert (row.reason, row.opened_token().refresh_token.reveal()) == (outbox.SUPERSEDED, "")
    assert (row.open_token(), row.refresh_fingerprint) == (egnyte_account.open_token(), "")


def family(row):
    with transaction.atomic():
        return list(outbox.family(row, USING))


def test_a_family_shares_a_token_or_a_refresh_token_at_one_host(egnyte_sandbox):
    row = put(TokenAnswer("abc", "def"))
    same = put(TokenAnswer("abc"))
    beside = put(TokenAnswer("ghi", "def"))
    put(TokenAnswer("jkl", "mno"))
    put(TokenAnswer("pqr"))
    PendingRevocation.objects.create(
        domain="globex.egnyte.com",
        fingerprint=row.fingerprint,
        refresh_fingerprint=row.refresh_fingerprint,
        not_before=timezone.now(),
    )
    assert family(row) == [row, same, beside]
    # None of them is related to the others by not having a refresh token.
    assert family(same) == [row, same]


@pytest.mark.parametrize(
    ("values", "due", "claimed"),
    [
        ({"not_before": hence(60)}, False, False),
        ({"not_before": hence(-60)}, True, False),
        ({"not_before": hence(-60), "claimed_until": hence(60)}, True, True),
        ({"not_before": hence(60), "claimed_until": hence(-60)}, False, False),
    ],
)
def test_a_family_knows_what_is_due_and_claimed(egnyte_sandbox, values, due, claimed):
    row = put(TokenAnswer("abc"))
    PendingRevocation.objects.write(**values)
    (found,) = family(row)
    assert (found.is_due, found.is_claimed) == (due, claimed)


def own(row):
    with transaction.atomic():
        return outbox.own_row(row, USING)


def test_a_row_that_is_gone_or_whose_family_is_claimed_is_not_ones_own(egnyte_sandbox):
    row = put(TokenAnswer("abc", "def"))
    twin = put(TokenAnswer("abc", "def"), grant_id="another grant")
    assert own(row) == (row, {"a grant", "another grant"})
    PendingRevocation.objects.filter(pk=twin.pk).write(claimed_until=hence(60))
    with pytest.raises(TokenConflictError) as caught:
        own(row)
    assert caught.value.host == HOST
    PendingRevocation.objects.write(claimed_until=None)
    PendingRevocation.objects.filter(pk=row.pk).delete()
    with pytest.raises(TokenConflictError):
        own(row)


def test_only_what_was_superseded_in_a_grant_is_released_with_it(egnyte_sandbox):
    rows = {
        (reason, grant): put(TokenAnswer(f"{reason}{grant}"), reason=reason, grant_id=grant)
        for reason in (outbox.SUPERSEDED, "other")
        for grant in ("a", "b", "c")
    }
    outbox.release_grants({"a", "b"}, using=USING)
    released = {name for name, row in rows.items() if about(due_in(row), timedelta(0))}
    assert released == {(outbox.SUPERSEDED, "a"), (outbox.SUPERSEDED, "b")}


def test_a_row_that_nobody_named_gets_a_name_of_its_own(egnyte_account):
    egnyte_account.token_fingerprint = ""
    rows = [outbox.put_held(egnyte_account, using=USING, reason="test") for _ in range(2)]
    assert len({row.fingerprint for row in rows} - {""}) == 2


def test_all_that_stands_here_with_the_tokens_of_a_grant_is_of_that_grant(
    egnyte_account, make_user, link
):
    """Whatever name it came in by, and also what stands here by that name only."""
    twin, other = link(make_user("twin")), link(make_user("other"), username="bdoe")
    own, theirs = egnyte_account.grant_id, twin.grant_id
    one, two = egnyte_account.open_token(), twin.opened_token().refresh_token.reveal()
    expected = {
        put(TokenAnswer(one), grant_id="x"): own,
        put(TokenAnswer("new", two), grant_id="y"): own,
        put(TokenAnswer("only by its name"), grant_id="x"): own,
        put(TokenAnswer("by the twin's name"), grant_id=theirs): own,
        put(TokenAnswer("another's"), grant_id="z"): "z",
        put(TokenAnswer("without a refresh token"), grant_id="w"): "w",
    }
    abroad = put(TokenAnswer(one), grant_id="v")
    PendingRevocation.objects.filter(pk=abroad.pk).write(domain="globex.egnyte.com")
    accounts = [egnyte_account, twin]
    with transaction.atomic():
        outbox.recognise(accounts, using=USING)
    found = {row: row.grant_id for row in PendingRevocation.objects.all()}
    assert found == expected | {abroad: "v"}
    assert [each.grant_id for each in accounts] == [own, own]
    stored = dict(EgnyteAccount.objects.values_list("pk", "grant_id"))
    assert stored == {egnyte_account.pk: own, twin.pk: own, other.pk: other.grant_id}


def test_accounts_without_refresh_tokens_have_no_rows_in_common(egnyte_account):
    EgnyteAccount.objects.write(refresh_token="", refresh_fingerprint="")
    egnyte_account.refresh_from_db()
    put(TokenAnswer("another's"), grant_id="z")
    with transaction.atomic():
        outbox.recognise([egnyte_account], using=USING)
    assert PendingRevocation.objects.get().grant_id == "z"
