"""locust: users who are killed while they wait for connections and hold them."""

from __future__ import annotations

import signal
import sys

import pytest
from hosting import APPS, eventually, require_host

SIZE = 5

WAYS = {
    "one process": ((), {}, 1),
    "forked into two, used before": (("--processes", "2"), {"USE_AT_IMPORT": "1"}, 3),
}


@pytest.fixture
def start(start_host):
    """Starts locust with twenty users, who soon all wait or hold."""
    require_host("locust")

    def start(*flags, **environment):
        return start_host(
            sys.executable, "-m", "locust", "--locustfile", f"{APPS}/locustfile.py", "--headless",
            "--users", "20", "--spawn-rate", "20", *flags, **environment,
        )  # fmt: skip

    return start


def ended_as_expected(witness, processes):
    """Who was killed between question and answer said no goodbye; everybody else did."""
    sessions = witness.wait_all_ended()
    for session in sessions:
        asked = [what for _, what in session.lines if what != "QUIT"]
        assert session.said_goodbye == (asked[-1] != "/held"), session
    witness.check_nobody_shares(SIZE)
    assert len(witness.questions("whole")) == processes * SIZE


@pytest.mark.parametrize(("flags", "way", "processes"), WAYS.values(), ids=WAYS)
def test_users_that_are_killed_leave_the_pool_whole(start, witness, flags, way, processes):
    locust = start("--run-time", "3s", *flags, **way)

    assert locust.wait_end() == 0  # no request has failed

    assert len(locust.find(r"pool of \d+ closed: True, 0 repairs")) == processes
    ended_as_expected(witness, processes)
    assert witness.questions("/quick")


def test_a_graceful_stop_closes_the_pool(start, witness):
    locust = start()
    eventually(lambda: len(witness.questions("/held")) == SIZE, "the users do not hold them all")

    locust.send(signal.SIGTERM)

    assert locust.wait_end() == 0
    assert locust.find(r"pool of \d+ closed: True, 0 repairs")
    ended_as_expected(witness, 1)


def test_a_hard_stop_ends_every_session(start, witness):
    locust = start()
    eventually(lambda: len(witness.questions("/held")) == SIZE, "the users do not hold them all")

    locust.kill()

    assert not any(s.said_goodbye for s in witness.wait_all_ended())
    witness.check_nobody_shares(SIZE)


def test_the_page_works_as_it_stands(page, start_host, witness):
    require_host("locust")
    folder = page("locust")
    command = (sys.executable, "-m", "locust", "--headless", "--users", "20", "--spawn-rate", "20")

    locust = start_host(*command, "--run-time", "2s", folder=folder)

    assert locust.wait_end() == 0
    (acquires,) = locust.find(r"(\d+) acquires, \d+ of them waited")
    assert 20 <= len(witness.questions("hello")) <= int(acquires)
    witness.wait_all_ended()
