"""Storing tokens, finding their grant, and joining grants."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import Q
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.choices import LeasedFor, Purpose, Release
from django_egnyte.conf import IN_FLIGHT, LEASE
from django_egnyte.exceptions import (
    TokenConflictError,
    TokenExpiredError,
    UnavailableError,
)
from django_egnyte.managers import GuardedQuerySet
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.oauth import OAuthClient, TokenAnswer, fingerprint
from django_egnyte.secret import Secret
from django_egnyte.services import grants
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.obtain import obtain
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import abandon, process_revocations
from django_egnyte.services.transactions import ago, hence, in_short_transaction

from .conftest import HOST, all_due, arrive, grant_of, orphans, pending, refresh_token_of


def work_off() -> None:
    """Run passes over the due rows. Makes nothing due itself."""
    for _ in range(4):
        process_revocations()


def answer(access: str, refresh: str = "", **options: Any) -> TokenAnswer:
    return TokenAnswer(Secret(access), Secret(refresh), 3600, **options)


# Storing a token


def test_a_new_token_begins_a_grant_that_nobody_uses_yet(egnyte_user):
    token = arrive(egnyte_user, "access", "refresh")
    (grant,) = pending()
    assert token.grant == grant
    assert (grant.domain, grant.user_ref) == (HOST, str(egnyte_user.pk))
    assert (grant.fingerprint, grant.key_digest) == (token.fingerprint, gateway.key_digest())
    assert (token.generation, grant.generation, token.refreshed_from) == (1, 1, "")
    assert token.fingerprint == fingerprint(HOST, Secret("access"))
    assert token.refresh_fingerprint == fingerprint(HOST, Secret("refresh"))
    waits = (grant.release_at - timezone.now()).total_seconds()
    assert IN_FLIGHT - 60 < waits <= IN_FLIGHT + 1
    assert timedelta(minutes=59) < token.expires_at - timezone.now() <= timedelta(hours=1)
    assert grant.next_refresh_at < token.expires_at


def test_a_token_that_never_expires_is_never_refreshed(egnyte_user):
    given = TokenAnswer(Secret("access"), Secret("refresh"))
    token = grants.write_down(given, host=HOST, user_ref="7")
    assert (token.expires_at, token.grant.next_refresh_at) == (None, None)


@pytest.mark.parametrize(
    ("access", "refresh"),
    [("access", "other"), ("other", "refresh"), ("access", "refresh"), ("access", "")],
)
def test_a_token_that_is_known_by_either_name_is_of_that_grant(egnyte_user, access, refresh):
    first = arrive(egnyte_user, "access", "refresh")
    second = arrive(egnyte_user, access, refresh)
    assert second.grant_id == first.grant_id
    assert EgnyteGrant.objects.count() == 1


def test_tokens_with_nothing_in_common_are_of_two_grants(egnyte_user):
    assert arrive(egnyte_user, "one").grant_id != arrive(egnyte_user, "two").grant_id


def test_the_same_token_of_another_host_is_another(egnyte_user):
    for host in (HOST, "globex.egnyte.com"):
        grants.write_down(answer("access"), host=host, user_ref="7")
    assert EgnyteGrant.objects.count() == 2


def test_an_answer_that_says_nothing_new_is_not_stored_again(egnyte_user):
    first = arrive(egnyte_user, "access", "refresh")
    assert arrive(egnyte_user, "access", "refresh") == first
    assert arrive(egnyte_user, "access") == first
    assert EgnyteToken.objects.count() == 1


def test_another_user_gets_a_copy_that_is_sealed_for_them(egnyte_user, make_user):
    other = make_user("other")
    first, second = arrive(egnyte_user, "access", "refresh"), arrive(other, "access")
    assert (second.grant_id, second.generation) == (first.grant_id, first.generation)
    assert second.user_ref == str(other.pk)
    assert second.seal_id != first.seal_id
    assert second.open() == first.open()
    assert arrive(other, "access") == second


@pytest.mark.parametrize("complete", [True, False])
def test_an_incomplete_token_is_due_at_once_and_never_the_newest(egnyte_user, complete):
    token = grants.write_down(answer("access", complete=complete), host=HOST, user_ref="7")
    assert token.generation == int(complete)
    due = EgnyteGrant.objects.filter(release_at__lte=hence(1)).exists()
    assert due is not complete


def test_an_incomplete_token_of_a_grant_in_use_is_kept_and_not_used(egnyte_account):
    token = refresh_token_of(egnyte_account)
    grants.write_down(answer("cut", token, complete=False), host=HOST, user_ref="7")
    assert EgnyteToken.objects.count() == 2
    newest = grants.newest_of(egnyte_account.token.grant_id, str(egnyte_account.user_id))
    assert newest == egnyte_account.token
    assert grant_of(egnyte_account).release_at is None


def test_the_same_token_that_arrives_twice_at_once_begins_one_grant(egnyte_user, make_user):
    users = [egnyte_user, make_user("two"), make_user("three"), make_user("four")]
    barrier = threading.Barrier(len(users))
    failures: list[Exception] = []

    def run(user: Any) -> None:
        barrier.wait()
        try:
            arrive(user, "access", "refresh")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert EgnyteGrant.objects.count() == 1
    assert EgnyteToken.objects.values("user_ref").distinct().count() == 4


def test_a_refresh_token_that_was_used_up_meanwhile_does_not_become_the_newest(egnyte_user):
    """A callback's answer may be stored after that of a refresh which came later at Egnyte."""
    old = arrive(egnyte_user, "old", "shared")
    new = grants.write_down(
        answer("new", "rotated"), host=HOST, user_ref=str(egnyte_user.pk), refreshed=old
    )
    late = arrive(egnyte_user, "late", "shared")
    assert late == new == grants.newest_of(old.grant_id, str(egnyte_user.pk))
    stored = EgnyteToken.objects.get(fingerprint=fingerprint(HOST, Secret("late")))
    assert (stored.grant_id, stored.generation) == (old.grant_id, 0)


def test_an_old_token_that_arrives_again_does_not_become_the_newest(egnyte_user, make_user):
    """A browser can post any access token, even an expired one."""
    old = arrive(egnyte_user, "old", "shared")
    new = grants.write_down(
        answer("new", "shared"), host=HOST, user_ref=str(egnyte_user.pk), refreshed=old
    )
    for refresh_token in ("", "shared"):
        assert arrive(egnyte_user, "old", refresh_token) == new
        posted = arrive(make_user(f"other{refresh_token}"), "old", refresh_token)
        assert posted.open() == new.open()
    assert EgnyteGrant.objects.get().generation == new.generation == 2


def test_a_token_whose_row_is_gone_is_still_known_by_its_grant(egnyte_user):
    old = arrive(egnyte_user, "old", "first")
    new = grants.write_down(
        answer("new", "second"), host=HOST, user_ref=str(egnyte_user.pk), refreshed=old
    )
    EgnyteToken.objects.filter(pk=old.pk).delete()
    assert arrive(egnyte_user, "old") == new
    assert EgnyteGrant.objects.count() == 1


@pytest.mark.parametrize(
    ("first", "again", "is_news"),
    [(3600, 3600, False), (3600, 3570, False), (3600, 7200, True), (3600, None, True),
     (None, None, False), (None, 3600, False)],
)  # fmt: skip
def test_a_longer_life_of_the_same_token_is_news(egnyte_user, first, again, is_news):
    tokens = [
        grants.write_down(
            TokenAnswer(Secret("access"), Secret("refresh"), life), host=HOST, user_ref="7"
        )
        for life in (first, again)
    ]
    assert (tokens[0] != tokens[1]) is is_news
    assert (tokens[1].expires_at is None) is (again is None or first is None)
    assert EgnyteGrant.objects.get().generation == 1 + is_news


@pytest.mark.parametrize("own", [True, False])
def test_a_token_that_no_key_opens_is_stored_anew_when_it_arrives_again(
    egnyte_user, make_user, settings, own
):
    first = arrive(egnyte_user, "access", "refresh")
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, of thirty-two characters or more"]
    again = arrive(egnyte_user if own else make_user("other"), "access", "refresh")
    assert again.open().access_token == Secret("access")
    assert (again.grant_id, again.generation) == (first.grant_id, 2)


# Joining grants


def test_a_token_of_two_grants_makes_them_one(egnyte_user):
    one, two = arrive(egnyte_user, "one", "first"), arrive(egnyte_user, "two", "second")
    both = arrive(egnyte_user, "one", "second")
    grant = EgnyteGrant.objects.get()
    assert both.grant_id == grant.pk == one.grant_id
    assert set(grant.tokens.all()) == {one, two, both}
    generations = sorted(grant.tokens.values_list("generation", flat=True))
    assert generations == [1, 2, 3]
    assert (grant.generation, both.generation) == (3, 3)


def test_accounts_follow_their_tokens_into_the_other_grant(egnyte_user, make_user, bring):
    one, two = bring(egnyte_user, "one", "first"), bring(make_user("two"), "two", "second")
    bring(make_user("three"), "one", "second")
    assert grant_of(one) == grant_of(two) == EgnyteGrant.objects.get()
    assert EgnyteGrant.objects.get().release_at is None


@pytest.mark.parametrize("busy", ["one", "two"])
def test_a_grant_that_is_leased_stays(egnyte_user, busy):
    tokens = {"one": arrive(egnyte_user, "one", "1"), "two": arrive(egnyte_user, "two", "2")}
    assert grants.lease(tokens[busy].grant_id, LeasedFor.REFRESH)
    assert arrive(egnyte_user, "one", "2").grant_id == tokens[busy].grant_id
    assert EgnyteGrant.objects.count() == 1


def test_nothing_moves_into_or_out_of_a_grant_that_is_being_revoked(egnyte_user, make_user, bring):
    used = bring(make_user("user"), "used", "shared")
    doomed = arrive(egnyte_user, "doomed", "other")
    assert grants.lease(doomed.grant_id, LeasedFor.REVOKE)
    token = arrive(egnyte_user, "doomed", "shared")
    assert token.grant_id == grant_of(used).pk
    assert EgnyteGrant.objects.count() == 2


def test_the_revoker_finds_that_two_grants_are_one(egnyte_account, egnyte_user):
    """The same token was stored twice, in transactions that did not see each other."""
    token = egnyte_account.token
    twin = arrive(egnyte_user, "twin")
    EgnyteToken.objects.filter(pk=twin.pk).write(fingerprint=token.fingerprint)
    all_due()
    assert process_revocations() == {"merged": 1}
    assert EgnyteGrant.objects.get() == grant_of(egnyte_account)
    assert EgnyteGrant.objects.get().release_at is None


def unseen(monkeypatch: pytest.MonkeyPatch, work: Any, *, until_linked: bool = False) -> Any:
    """Two answers are stored at the same time, so neither transaction sees the other.

    The later one finds the earlier before it is linked, except with ``until_linked``.
    """
    with monkeypatch.context() as patch:
        nothing = "SELECT grant_id FROM django_egnyte_egnytetoken WHERE 1 = 0"
        patch.setattr(grants, "_known", lambda *given: (nothing, ()))
        if until_linked:
            patch.setattr(grants, "join_token", lambda token: None)
        return work()


def refreshed(old: EgnyteToken, access: str, refresh: str) -> EgnyteToken:
    return grants.write_down(
        answer(access, refresh), host=HOST, user_ref=old.user_ref, refreshed=old
    )


@pytest.mark.parametrize("leased", ["chain", "twin"])
@pytest.mark.parametrize("twin_first", [True, False])
def test_a_used_up_token_of_a_twin_does_not_become_the_newest(
    egnyte_user, make_user, monkeypatch, twin_first, leased
):
    def begin_twin() -> EgnyteToken:
        other = make_user("other")
        return unseen(monkeypatch, lambda: arrive(other, "second", "b"))

    twin = begin_twin() if twin_first else None
    chain = arrive(egnyte_user, "first", "a")
    second = unseen(monkeypatch, lambda: refreshed(chain, "second", "b"))
    third = unseen(monkeypatch, lambda: refreshed(second, "third", "c"))
    twin = twin or begin_twin()
    busy = {"chain": chain, "twin": twin}[leased].grant_id
    assert grants.lease(busy, LeasedFor.REFRESH)
    merged = in_short_transaction(lambda: grants.merged({chain.grant_id, twin.grant_id}))
    assert merged == EgnyteGrant.objects.get() and merged.pk == busy
    assert grants.newest_of(busy, "") == third


@pytest.mark.parametrize("leased", ["earlier", "later"])
def test_the_later_of_two_tokens_is_the_newest_of_both_grants(egnyte_user, leased):
    tokens = {"earlier": arrive(egnyte_user, "one", "1"), "later": arrive(egnyte_user, "two", "2")}
    assert grants.lease(tokens[leased].grant_id, LeasedFor.REFRESH)
    ids = {token.grant_id for token in tokens.values()}
    kept = in_short_transaction(lambda: grants.merged(ids))
    assert kept is not None and kept.pk == tokens[leased].grant_id
    assert grants.newest_of(kept.pk, "") == tokens["later"]
    assert refreshed(tokens["later"], "three", "3") == grants.newest_of(kept.pk, "")


def test_a_refresh_whose_refresh_token_is_used_up_already_brings_what_came_of_it(
    egnyte_user, make_user, monkeypatch
):
    """Its answer was stored late. Meanwhile another link had stored the same tokens."""
    chain = arrive(egnyte_user, "first", "a")
    twin = unseen(monkeypatch, lambda: arrive(make_user("other"), "second", "b"))
    third = refreshed(twin, "third", "c")
    late = refreshed(chain, "second", "b")
    assert late.open() == third.open()
    assert late.user_ref == str(egnyte_user.pk)
    assert EgnyteGrant.objects.count() == 1


def test_a_token_that_was_stored_twice_at_once_is_of_one_grant_when_it_is_linked(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch
):
    egnyte_sandbox.policy.same_token = True
    refresh(egnyte_account, actor="task")
    two = unseen(monkeypatch, lambda: link(make_user("two")))
    assert grant_of(two) == grant_of(egnyte_account) == EgnyteGrant.objects.get()
    assert pending() == []


def test_a_token_whose_twin_is_being_revoked_is_not_linked(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch
):
    egnyte_sandbox.policy.same_token = True
    refresh(egnyte_account, actor="task")
    grant = grant_of(egnyte_account)
    egnyte_account.delete()
    nonce = grants.lease(grant.pk, LeasedFor.REVOKE)
    with pytest.raises(TokenConflictError):
        unseen(monkeypatch, lambda: link(make_user("two")))
    assert not EgnyteAccount.objects.exists()
    grants.release(grant.pk, nonce)
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exists()


def test_a_token_that_is_linked_with_a_refresh_in_flight_is_of_its_grant(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch
):
    """The refresh's answer is stored last, so it is the refresh that finds the other."""
    policy = egnyte_sandbox.policy
    policy.same_token = policy.refresh_rotates = policy.refresh_kills_access = True
    real, others = OAuthClient.refresh, []

    def beaten(client: OAuthClient, refresh_token: Secret) -> TokenAnswer:
        given = real(client, refresh_token)
        others.append(link(make_user("two")))
        return given

    with monkeypatch.context() as patch:
        patch.setattr(OAuthClient, "refresh", beaten)
        new = unseen(monkeypatch, lambda: refresh(egnyte_account, actor="task"))
    assert grant_of(others[0]) == grant_of(new) == EgnyteGrant.objects.get()
    for account in EgnyteAccount.objects.with_token():
        assert account.token.generation == grant_of(new).generation
        assert egnyte_sandbox.is_alive(account.open_token())


def test_an_access_token_without_its_refresh_token_does_not_become_the_newest(
    egnyte_user, make_user, monkeypatch
):
    whole = arrive(egnyte_user, "access", "refresh")
    bare = unseen(monkeypatch, lambda: arrive(make_user("other"), "other"))
    EgnyteToken.objects.filter(pk=bare.pk).write(fingerprint=whole.fingerprint)
    kept = in_short_transaction(lambda: grants.merged({whole.grant_id, bare.grant_id}))
    assert kept is not None
    assert grants.newest_of(kept.pk, "") == whole


def test_a_grant_that_becomes_part_of_another_meanwhile_is_looked_for_again(
    egnyte_user, make_user, monkeypatch
):
    first = arrive(egnyte_user, "access", "refresh")
    merged, gone = grants.merged, []

    def late(ids: Any) -> Any:
        if not gone:
            gone.append(1)
            return None  # each account is locked too late
        return merged(ids)

    monkeypatch.setattr(grants, "merged", late)
    assert arrive(make_user("two"), "access", "refresh").grant_id == first.grant_id
    assert EgnyteGrant.objects.count() == 1


@pytest.mark.parametrize("first", ["one", "two"])
def test_a_token_that_was_stored_twice_at_once_is_refreshed_once(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch, first
):
    """Otherwise Egnyte refuses the second, and that user is told to reconnect."""
    policy = egnyte_sandbox.policy
    policy.same_token = policy.refresh_rotates = policy.refresh_kills_access = True
    one = refresh(egnyte_account, actor="task")
    two = unseen(monkeypatch, lambda: link(make_user("two")), until_linked=True)
    assert grant_of(one) != grant_of(two)
    assert refresh_token_of(one) == refresh_token_of(two)
    accounts = {"one": one, "two": two}
    refresh(accounts.pop(first), actor="task")
    (last,) = accounts.values()
    refresh(last, actor="task")
    assert grant_of(one) == grant_of(two) == EgnyteGrant.objects.get()
    for account in EgnyteAccount.objects.with_token():
        assert egnyte_sandbox.is_alive(account.open_token())
        assert egnyte_sandbox.is_alive(refresh_token_of(account))
        assert account.status_reason == ""


@pytest.mark.parametrize("purpose", [LeasedFor.REFRESH, LeasedFor.REVOKE])
def test_a_token_whose_twin_is_busy_is_not_refreshed_beside_it(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch, purpose
):
    egnyte_sandbox.policy.same_token = True
    one = refresh(egnyte_account, actor="task")
    two = unseen(monkeypatch, lambda: link(make_user("two")), until_linked=True)
    assert grants.lease(one.token.grant_id, purpose)
    with pytest.raises(TokenExpiredError) as caught:
        refresh(two, actor="task")
    assert caught.value.retryable and caught.value.retry_after
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert grant_of(two).lease == ""


def test_the_revoker_ends_no_token_of_its_own_refresh_that_another_link_was_given(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch
):
    policy = egnyte_sandbox.policy
    policy.same_token = policy.refresh_rotates = True
    egnyte_account.delete()
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    real, linked = OAuthClient.refresh, []

    def beaten(client: OAuthClient, refresh_token: Secret) -> TokenAnswer:
        given = real(client, refresh_token)
        linked.append(link(make_user("two")))
        connection.close()  # of the thread in which the revoker makes its calls
        return given

    with monkeypatch.context() as patch:
        patch.setattr(OAuthClient, "refresh", beaten)
        assert unseen(monkeypatch, process_revocations) == {"merged": 1}
    all_due()
    work_off()
    assert grant_of(linked[0]) == EgnyteGrant.objects.get()
    assert egnyte_sandbox.is_alive(linked[0].open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(linked[0]))


@pytest.mark.parametrize("field", ["fingerprint", "refresh_fingerprint"])
def test_a_token_that_another_grant_has_too_is_not_taken_into_use(egnyte_account, field):
    token = egnyte_account.token
    assert grants.take_into_use(token)
    another = EgnyteGrant.objects.create(domain=token.domain, fingerprint="e" * 64, user_ref="7")
    names = {"fingerprint": "f" * 64, field: getattr(token, field)}
    another.tokens.create(domain=token.domain, user_ref="7", **names)
    assert not grants.take_into_use(token)


def test_two_tokens_without_refresh_tokens_have_nothing_in_common(legacy, make_user, link):
    link(make_user("another"))
    assert not legacy.token.refresh_fingerprint
    assert grants.take_into_use(legacy.token)


def test_each_user_gets_the_row_that_is_sealed_for_them(egnyte_account):
    mine = egnyte_account.token
    theirs = grants.copied(mine, "another")
    assert grants.newest_of(mine.grant_id, "another") == theirs
    assert grants.newest_of(mine.grant_id, mine.user_ref) == mine


@pytest.mark.parametrize("newer", [0, 1])
def test_without_refresh_tokens_the_one_that_came_last_is_the_newest(
    egnyte_sandbox, make_user, link, newer
):
    egnyte_sandbox.policy.style = "legacy"
    tokens = [link(make_user(f"user{number}")).token for number in range(2)]
    later = timezone.now() + timedelta(minutes=1)
    EgnyteToken.objects.filter(pk=tokens[newer].pk).write(created_at=later)
    kept = in_short_transaction(lambda: grants.merged([each.grant_id for each in tokens]))
    assert grants.newest_of(kept.pk, "").pk == tokens[newer].pk


def test_a_grant_that_egnyte_may_have_ended_has_no_newest_token(egnyte_account):
    token = refresh(egnyte_account, actor="test").token
    nonce = grants.lease(token.grant_id, LeasedFor.REVOKE)
    grants.release_safely(token.grant_id, nonce, **grants.NO_NEWEST)
    assert grants.newest_of(token.grant_id, token.user_ref) is None
    assert not grants.take_into_use(token)


# The lease


def test_a_lease_is_for_one_at_a_time_and_ends_by_the_databases_clock(egnyte_account):
    grant = grant_of(egnyte_account)
    nonce = grants.lease(grant.pk, LeasedFor.REFRESH)
    assert nonce and not grants.lease(grant.pk, LeasedFor.REVOKE)
    grant.refresh_from_db()
    left = (grant.leased_until - timezone.now()).total_seconds()
    assert (grant.lease, grant.leased_for) == (nonce, "refresh")
    assert LEASE - 10 < left <= LEASE + 1
    assert not grants.release(grant.pk, "another's")
    EgnyteGrant.objects.write(leased_until=ago(1))
    assert grants.lease(grant.pk, LeasedFor.VERDICT)
    assert not grants.release(grant.pk, nonce)


def test_a_lease_is_refused_where_the_grant_does_not_fit(egnyte_account):
    grant = grant_of(egnyte_account)
    assert not grants.lease(grant.pk, LeasedFor.REFRESH, Q(generation=2))
    assert not grants.lease(0, LeasedFor.REFRESH)
    assert grants.lease(grant.pk, LeasedFor.REFRESH, Q(generation=1))


def test_a_lease_that_cannot_be_given_back_is_told_of(egnyte_account, monkeypatch, caplog):
    grant = grant_of(egnyte_account)
    nonce = grants.lease(grant.pk, LeasedFor.REFRESH)

    def fail(self: Any, **values: Any) -> int:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(GuardedQuerySet, "write", fail)
        grants.release_safely(grant.pk, nonce)
    assert [record.event for record in caplog.records] == ["lease_not_released"]
    assert grant_of(egnyte_account).lease == nonce


# Faults that tests.conservation has found


@pytest.fixture
def failed_twin(egnyte_sandbox, egnyte_account, link, make_user):
    """Another user's callback received the account's own token, and failed."""
    egnyte_sandbox.policy.same_token = True
    egnyte_sandbox.faults.add(path="/userinfo", status=503)
    with pytest.raises(UnavailableError):
        link(make_user("twin"))
    return EgnyteToken.objects.order_by("pk").last()


def test_a_failed_twin_ends_no_grant_in_use(egnyte_sandbox, egnyte_account, failed_twin):
    assert failed_twin.grant_id == egnyte_account.token.grant_id
    assert process_revocations() == {"held": 1}
    assert pending() == []
    assert egnyte_sandbox.is_alive(egnyte_account.open_token())


@pytest.mark.parametrize("rotates", [False, True])
def test_a_failed_twin_of_a_token_that_was_refreshed_meanwhile_ends_no_grant(
    egnyte_sandbox, egnyte_account, failed_twin, rotates
):
    egnyte_sandbox.policy.refresh_rotates = rotates
    new = refresh(egnyte_account, actor="task")
    work_off()
    assert egnyte_sandbox.is_alive(new.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(new))
    disconnect(new.pk, actor="user:1")
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exists()


def test_a_relink_ends_what_was_superseded_in_the_old_grant(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    refresh(egnyte_account, actor="task")
    again = link(egnyte_user)
    work_off()
    assert EgnyteGrant.objects.get() == grant_of(again)
    assert {token.value for token in egnyte_sandbox.live_tokens()} == {
        again.open_token(), refresh_token_of(again)
    }  # fmt: skip


def test_a_relink_with_what_a_killed_refresh_brought_is_the_same_grant(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    egnyte_sandbox.policy.refresh_rotates = egnyte_sandbox.policy.same_token = True
    old = egnyte_account.opened_token().refresh_token
    obtain(
        lambda client: client.refresh(old),
        purpose=Purpose.REFRESH,
        host=HOST,
        user_ref=str(egnyte_user.pk),
        refreshed=egnyte_account.token,
    )  # and here the worker was killed
    again = link(egnyte_user)
    assert EgnyteGrant.objects.get() == grant_of(again)
    work_off()
    assert egnyte_sandbox.is_alive(again.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(again))


def test_the_first_of_two_accounts_to_leave_ends_nothing_and_the_last_ends_all(
    egnyte_sandbox, egnyte_account, link, make_user
):
    egnyte_sandbox.policy.same_token = True
    other = link(make_user("other"))
    assert grant_of(other) == grant_of(egnyte_account)
    refresh(EgnyteAccount.objects.get(pk=other.pk), actor="task")
    egnyte_account.refresh_from_db()
    egnyte_account.delete()
    work_off()
    held = EgnyteAccount.objects.get()
    assert egnyte_sandbox.is_alive(held.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(held))
    held.delete()
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exists()


def test_a_grant_that_was_given_up_is_forgotten_with_all_its_tokens(egnyte_sandbox, egnyte_account):
    refresh(egnyte_account, actor="task")
    grant = grant_of(egnyte_account)
    assert not abandon(grant, actor="admin:1")  # in use
    disconnect(egnyte_account.pk, actor="user:1")
    assert abandon(grant, actor="admin:1")
    assert not EgnyteGrant.objects.exists() and not EgnyteToken.objects.exists()
    assert process_revocations() == {}


def test_twins_that_are_refreshed_point_to_a_token_of_their_own(
    egnyte_sandbox, egnyte_account, link, make_user
):
    egnyte_sandbox.policy.same_token = True
    twin = link(make_user("twin"))
    refresh(egnyte_account, actor="task")
    one, two = EgnyteAccount.objects.with_token().order_by("pk")
    assert one.open_token() == two.open_token() != egnyte_account.open_token()
    assert one.token_id != two.token_id and two.token.user_ref == str(twin.user_id)
    assert orphans(egnyte_sandbox) == set()


def test_a_deadlock_gives_the_lease_back_at_the_second_try(egnyte_account, monkeypatch):
    write, failures = GuardedQuerySet.write, []
    nonce = grants.lease(egnyte_account.token.grant_id, LeasedFor.REFRESH)

    def deadlocked(self: Any, **values: Any) -> int:
        if not failures:
            failures.append(1)
            raise OperationalError("deadlock detected")
        return write(self, **values)

    monkeypatch.setattr(GuardedQuerySet, "write", deadlocked)
    grants.release_safely(egnyte_account.token.grant_id, nonce)
    assert failures
    assert grant_of(egnyte_account).lease == ""


def test_a_leases_end_is_written_by_the_databases_clock(egnyte_account):
    EgnyteGrant.objects.write(leased_until=hence(60))
    assert not grants.lease(egnyte_account.token.grant_id, LeasedFor.REFRESH)


def test_a_grant_that_is_due_names_an_account_for_the_history(egnyte_account):
    EgnyteGrant.objects.write(account_ref=None, username="")
    grants.make_due(egnyte_account.token.grant_id, Release.FAILED)
    grant = EgnyteGrant.objects.get()
    assert (grant.account_ref, grant.username) == (egnyte_account.pk, "jsmith")


@pytest.mark.parametrize(("seconds", "outlives"), [(-90, False), (60, False), (61, True)])
def test_a_token_outlives_another_if_it_expires_over_a_minute_later(seconds, outlives):
    known = timezone.now()
    assert grants._outlives(known + timedelta(seconds=seconds), known) is outlives
