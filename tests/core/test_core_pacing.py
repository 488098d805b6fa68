"""How fast to connect: a slow start, and one backoff for the whole pool."""

from __future__ import annotations

import math

import pytest

from geventconnpool.core.pacing import FIRST_CONNECTS, Pacer


class Peer:
    """Connects as fast as a pacer lets it."""

    def __init__(self, max_connecting: int = 32) -> None:
        self.pacer = Pacer(max_connecting)
        self.now = 10.0
        self.connecting: list[int] = []
        self.unproven = 0
        self.newest = 0

    @property
    def allowance(self) -> int:
        return self.pacer.allowance(self.now, len(self.connecting), self.unproven)

    def begin(self) -> int:
        """Begin all connects that may begin; how many."""
        count = self.allowance
        self.connecting += range(self.newest + 1, self.newest + 1 + count)
        self.newest += count
        return count

    def succeed(self) -> None:
        self.connecting.pop(0)
        self.unproven += 1
        self.pacer.succeeded()

    def fail(self, number: int | None = None) -> bool:
        if number is None:
            number = self.connecting.pop(0)
        return self.pacer.failed(self.now, number, self.newest)


# --- the slow start ----------------------------------------------------------------------


@pytest.mark.parametrize(("most", "first"), [(1, 1), (3, 3), (4, 4), (32, 4)])
def test_it_begins_with_four_at_once_or_fewer_if_fewer_are_allowed(most, first):
    assert Peer(most).begin() == first
    assert FIRST_CONNECTS == 4


def test_each_success_opens_two_more():
    peer = Peer()
    peer.begin()

    peer.succeed()
    assert peer.begin() == 2
    assert len(peer.connecting) == 5

    for _ in range(5):
        peer.succeed()
    assert peer.begin() == 10


def test_there_are_never_more_than_allowed():
    peer = Peer(6)
    for _ in range(20):
        peer.begin()
        assert len(peer.connecting) <= 6
        peer.succeed()

    peer.begin()
    assert len(peer.connecting) == 6


def test_after_a_burst_the_next_one_begins_slowly_again():
    peer = Peer()
    peer.begin()
    while peer.connecting:
        peer.succeed()
    assert peer.allowance == 8

    peer.pacer.rest()

    assert peer.allowance == 4


# --- failing -----------------------------------------------------------------------------


def test_a_failure_stops_everything_until_the_pause_is_drawn_and_over():
    peer = Peer()
    peer.begin()

    assert peer.fail()

    assert peer.pacer.failures == 1
    assert peer.pacer.resume_at == math.inf
    peer.connecting.clear()
    assert peer.allowance == 0
    peer.pacer.pause_until(11.0)
    assert peer.allowance == 0
    peer.now = 11.0
    assert peer.allowance == 1


def test_attempts_that_were_under_way_together_fail_as_one():
    peer = Peer()
    peer.begin()

    assert [peer.fail() for _ in range(4)] == [True, False, False, False]
    assert peer.pacer.failures == 1


def test_an_attempt_that_began_after_a_failure_fails_on_its_own_account():
    peer = Peer()
    peer.begin()
    first, *_ = peer.connecting
    peer.fail()
    peer.connecting.clear()
    peer.pacer.pause_until(peer.now)
    peer.begin()

    assert peer.fail()
    assert peer.pacer.failures == 2
    assert not peer.fail(first)


def test_while_connects_fail_one_probe_at_a_time_is_under_way():
    peer = Peer()
    peer.begin()
    peer.fail()
    peer.pacer.pause_until(peer.now)

    assert peer.allowance == 0  # three of the first four are still under way
    del peer.connecting[:2]
    assert peer.allowance == 0
    peer.connecting.clear()
    assert peer.begin() == 1
    assert peer.begin() == 0


def test_a_connect_that_merely_succeeds_does_not_end_the_backoff():
    peer = Peer()
    peer.begin()
    peer.fail()
    peer.connecting.clear()
    peer.pacer.pause_until(peer.now)
    peer.begin()

    peer.succeed()

    assert peer.pacer.failures == 1
    assert peer.allowance == 0  # what was opened has to prove itself first


def test_resting_does_not_end_the_backoff():
    peer = Peer()
    peer.begin()
    peer.fail()

    peer.pacer.rest()

    assert peer.pacer.window == 1


def test_without_failures_a_single_late_failure_narrows_the_window_to_one():
    peer = Peer()
    peer.begin()
    peer.fail()
    peer.pacer.proved(peer.now)
    assert peer.pacer.window == 4

    assert not peer.fail()

    assert peer.pacer.window == 1


# --- proof -------------------------------------------------------------------------------


def test_a_connection_that_proves_itself_ends_the_backoff():
    peer = Peer()
    peer.begin()
    peer.fail()
    peer.connecting.clear()

    peer.now = 12.0
    peer.pacer.proved(12.0)

    assert peer.pacer.failures == 0
    assert peer.allowance == 4


def test_a_connection_that_is_older_than_the_failure_proves_nothing():
    peer = Peer()
    peer.begin()
    peer.fail()

    peer.pacer.proved(9.9)

    assert peer.pacer.failures == 1
    assert peer.pacer.resume_at == math.inf


def test_proof_on_a_good_day_changes_nothing():
    peer = Peer()
    peer.begin()
    peer.succeed()

    peer.pacer.proved(peer.now)

    assert peer.pacer.window == 5


# --- what is known of an outage ----------------------------------------------------------


def test_an_outage_begins_with_the_first_refusal_and_remembers_the_last():
    pacer, first, last = Pacer(4), OSError(1), OSError(2)

    pacer.refused(10.0, first, fatal=True)
    pacer.refused(12.0, last, fatal=False)

    assert pacer.down_since == 10.0
    assert pacer.error is last
    assert not pacer.fatal


def test_an_outage_ends_with_the_first_connect_that_succeeds():
    pacer = Pacer(4)
    pacer.refused(10.0, OSError(1), fatal=True)

    pacer.succeeded()

    assert pacer.down_since is None
    assert pacer.error is None
    assert not pacer.fatal
