"""One pass calls several hosts in parallel: which rows continue, and which wait."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from django_egnyte import oauth
from django_egnyte.api.steps import Step
from django_egnyte.exceptions import UnavailableError
from django_egnyte.models import EgnyteGrant, HostState
from django_egnyte.services import runner
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.runner import Pass

from .rows import without_refresh_tokens


class Site:
    """Hosts that answer, and those that hang until they are told to fail."""

    def __init__(self):
        self.asked, self.most, self.threads = [], 0, set()
        self.open, self.hanging, self.fail = {}, set(), threading.Event()
        self._lock = threading.Lock()

    def ask(self, row):
        host = row.partition("/")[0]
        with self._lock:
            self.asked.append(row)
            self.open[host] = self.open.get(host, 0) + 1
            self.most = max(self.most, self.open[host])
            self.threads.add(threading.current_thread())
        try:
            if host in self.hanging:
                assert self.fail.wait(30)
                raise UnavailableError("No answer.", host=host)
        finally:
            with self._lock:
                self.open[host] -= 1

    def work(self, row):
        """Steps with two calls."""
        yield Step("io", self.ask, row)
        assert (yield Step("db", threading.current_thread)) is threading.main_thread()
        yield Step("io", self.ask, row)
        return "done"


@pytest.fixture
def site():
    return Site()


def together(this, rows, work, at_once=4):
    return this.run_together(
        rows, work, host_of=lambda row: row.partition("/")[0], together=at_once
    )


@pytest.fixture
def put_off():
    return []


@pytest.fixture
def a_pass(put_off):
    return Pass("tests", seconds=60.0, put_off=lambda row, error: put_off.append((row, error)))


def test_each_host_is_asked_about_one_row_at_a_time(a_pass, site):
    rows = [f"h{number % 3}/{number}" for number in range(30)]
    assert together(a_pass, rows, site.work) == {"done": 30}
    assert sorted(site.asked) == sorted(rows * 2)
    assert site.most == 1
    assert threading.main_thread() not in site.threads
    for host in ("h0", "h1", "h2"):
        assert [row for row in site.asked if row.startswith(host)] == [
            row for row in rows if row.startswith(host) for _ in range(2)
        ]


def test_hosts_that_hang_keep_no_other_host_waiting(a_pass, site, put_off):
    site.hanging = {"h0", "h1", "h2"}
    rows = [f"h{number % 10}/{number}" for number in range(60)]
    others = [row for row in rows if row[:2] not in site.hanging]

    def work(row):
        outcome = yield from site.work(row)
        if len({each for each in site.asked if each in others}) == len(others):
            site.fail.set()  # they hang until all others are done
        return outcome

    assert together(a_pass, rows, work) == {"done": 42, "failed": 3}
    assert sorted(row for row, _ in put_off) == ["h0/0", "h1/1", "h2/2"]
    assert HostState.objects.count() == 3


def test_nothing_is_begun_after_the_pass_and_what_was_begun_ends(site, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: now[0]))
    this = Pass("tests", seconds=10.0, put_off=lambda row, error: None)

    def work(row):
        now[0] += 6
        return (yield from site.work(row))

    assert together(this, [f"h{number}/0" for number in range(9)], work) == {"done": 2}
    assert len(site.asked) == 4


def test_an_unexpected_error_puts_its_row_off(a_pass, site, put_off, caplog):
    def work(row):
        if row == "h1/1":
            raise ZeroDivisionError
        try:
            yield Step("db", lambda: 1 / 0)
        except ZeroDivisionError:
            yield Step("whole", site.work, row)
        return "done"

    assert together(a_pass, ["h0/0", "h1/1", "h2/2"], work) == {"done": 2, "failed": 1}
    ((row, error),) = put_off
    assert (row, type(error)) == ("h1/1", ZeroDivisionError)
    assert [r.event for r in caplog.records] == ["row_failed"]


def test_the_rows_that_wait_for_a_host_are_no_more_than_some(a_pass, site, monkeypatch):
    monkeypatch.setattr(runner, "MOST_WAITING", 3)
    taken = []

    def rows():
        for number in range(20):
            taken.append(number)
            yield f"h0/{number}"

    def work(row):
        assert len(taken) <= int(row[3:]) + 5
        return (yield from site.work(row))

    assert together(a_pass, rows(), work) == {"done": 20}


def test_a_pass_that_is_stopped_ends_no_lease_of_a_call_on_its_way(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    """The call may still reach Egnyte, and only one call at a time is allowed for a grant."""
    egnyte_account.delete()
    begun, go_on = threading.Event(), threading.Event()

    def hang(self, token):
        begun.set()
        assert go_on.wait(30)

    def stop(calls, **options):
        assert begun.wait(30)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(oauth.OAuthClient, "revoke", hang)
        patch.setattr(runner, "wait", stop)
        with pytest.raises(KeyboardInterrupt):
            process_revocations()
    go_on.set()
    assert EgnyteGrant.objects.get().lease
    assert process_revocations() == {}


def test_the_revoker_goes_on_while_hosts_hang(make_user, link, monkeypatch):
    users = {"acme": "jsmith", "globex": "mmiller"}
    accounts = [
        link(make_user(f"{domain}{n}"), domain=domain, username=users[domain])
        for domain in users
        for n in range(3)
    ]
    without_refresh_tokens()
    for account in accounts:
        account.delete()
    real, others = oauth.OAuthClient.revoke, threading.Event()
    ended = []

    def revoked(self, token):
        if self.host == "acme.egnyte.com":
            assert others.wait(30)
            raise UnavailableError("No answer.", host=self.host)
        real(self, token)
        ended.append(self.host)
        if len(ended) == 3:
            others.set()

    monkeypatch.setattr(oauth.OAuthClient, "revoke", revoked)
    assert process_revocations() == {"revoked": 3, "failed": 1}
    assert HostState.objects.get().host == "acme.egnyte.com"


def test_a_pass_that_is_stopped_closes_the_rows_in_progress(a_pass, monkeypatch):
    closed = []

    def work(row):
        try:
            yield Step("io", lambda: None)
        finally:
            closed.append(row)

    def stop(calls, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "wait", stop)
    # The caught error holds the frames, so nothing else closes the generators.
    with pytest.raises(KeyboardInterrupt) as caught:
        together(a_pass, ["one/1", "two/1"], work)
    assert sorted(closed) == ["one/1", "two/1"]
    del caught
