"""What holds for a pool of any real library in front of any real server, in clear and over TLS.

A test class derives from `Contract`; the fixtures ``server`` and ``make_pool`` say of what.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from real_world import PATIENCE, Load, Sampler, eventually
from server_process import ServerProcess

from geventconnpool import PoolStats, PoolTimeout

SIZE = 5

USERS = 3 * SIZE


def crash(server: ServerProcess) -> None:
    server.kill()
    server.restart()


def restart(server: ServerProcess) -> None:
    server.restart()


def cut(server: ServerProcess) -> None:
    server.cut_clients()


all_faults = pytest.mark.parametrize("fault", [crash, restart, cut])


def closes(pool: Any) -> dict[str, int]:
    """How many connections that had been opened were closed, and why."""
    counts = pool.stats().closes.items()
    return {str(reason): n for reason, n in counts if n and reason != "connect_failed"}


def check_full(pool: Any, server: ServerProcess) -> None:
    """The pool fills up by itself, and the server agrees."""
    before = pool.stats().acquires
    eventually(lambda: pool.stats().idle == pool.size, pool)
    eventually(lambda: len(server.clients()) == pool.size, "the server agrees")
    stats: PoolStats = pool.stats()
    assert (stats.acquires, stats.idle, stats.repairs) == (before, pool.size, 0)


def check_answers(pool: Any) -> None:
    """Every connection of a full pool gives the right answer."""
    held = [pool.acquire(timeout=PATIENCE) for _ in range(pool.size)]
    for number, c in enumerate(held):
        assert pool.ask(c, f"check-{number}")
        pool.release(c)
    eventually(lambda: pool.stats().idle == pool.size, pool)


def hold_all(pool: Any) -> list[gevent.Greenlet[..., str]]:
    """Users of all connections, each of them in the middle of a question."""

    def use() -> str:
        try:
            with pool.get() as c:
                pool.hang(c)
        except pool.errors as error:
            return type(error).__name__
        return "an answer"

    users = [gevent.spawn(use) for _ in range(pool.size)]
    eventually(lambda: pool.stats().active == pool.size, pool)
    gevent.sleep(0.02)  # the questions get on their way
    return users


class Contract:
    @pytest.fixture
    def sampler(self, server: ServerProcess):
        sampler = Sampler(server)
        sampler.wait_for_samples()
        yield sampler
        sampler.stop()

    @pytest.fixture
    def pool(self, make_pool: Callable[..., Any], sampler: Sampler):
        """A full pool; after the test it is full again, and never had too many connections."""
        return self.warm(make_pool(SIZE))

    @staticmethod
    def warm(pool: Any) -> Any:
        """Full, and all of it proved: losing one is no failed connect."""
        pool.wait_ready(timeout=PATIENCE)
        check_answers(pool)
        return pool

    @staticmethod
    def check(pool: Any, server: ServerProcess, sampler: Sampler) -> None:
        check_full(pool, server)
        check_answers(pool)
        sampler.wait_for_samples()
        assert 0 < sampler.most_living <= SIZE

    # -- the connections end at the server's side

    @all_faults
    def test_idle_connections_that_the_server_drops_are_replaced_unasked(
        self, pool, server, sampler, fault
    ):
        fault(server)

        eventually(lambda: pool.stats().closes["lost"] == SIZE, pool)
        self.check(pool, server, sampler)
        assert sampler.most == SIZE

    @all_faults
    def test_users_in_the_middle_of_a_question_get_an_error_and_the_pool_is_full_again(
        self, pool, server, sampler, fault
    ):
        users = hold_all(pool)

        fault(server)

        gevent.joinall(users, timeout=PATIENCE)
        assert not {"an answer", None} & {user.value for user in users}
        assert closes(pool).keys() <= {"broken", "lost", "reset_failed"}
        assert sum(closes(pool).values()) == SIZE
        self.check(pool, server, sampler)
        assert sampler.most == SIZE

    @all_faults
    def test_busy_users_never_read_a_wrong_answer(self, pool, server, sampler, fault):
        load = Load(pool, USERS)
        load.wait_for_answers(50)

        fault(server)

        load.wait_for_answers(50)
        load.finish()
        assert load.wrong == 0
        assert closes(pool).keys() <= {"broken", "lost", "reset_failed"}
        self.check(pool, server, sampler)
        assert sampler.most == SIZE

    # -- the server stops, with all connections open

    def test_idle_connections_outlive_a_pause_of_the_server(self, pool, server, sampler):
        server.stop_process()
        gevent.sleep(0.1)
        server.continue_()

        self.check(pool, server, sampler)
        assert closes(pool) == {}

    def test_users_who_wait_get_their_answers_when_the_server_goes_on(self, pool, server, sampler):
        load = Load(pool, USERS)
        load.wait_for_answers(50)

        server.stop_process()
        eventually(lambda: pool.stats().idle == 0, pool)
        gevent.sleep(0.1)
        server.continue_()

        load.wait_for_answers(50)
        load.finish()
        assert (load.wrong, load.failed) == (0, Counter())
        self.check(pool, server, sampler)
        assert closes(pool) == {}

    def test_pings_find_a_stopped_server(self, make_pool, server, sampler):
        pool = self.warm(make_pool(SIZE, keepalive=0.5, keepalive_timeout=0.5))

        server.stop_process()
        eventually(lambda: pool.stats().closes["unchecked"] >= SIZE, pool)
        server.continue_()

        self.check(pool, server, sampler)

    def test_callers_under_a_deadline_leave_a_stopped_server_in_time(self, pool, server, sampler):
        def call(number: int) -> str:
            with gevent.Timeout(0.3):
                with pool.get(timeout=0.1) as c:
                    return f"the answer is {pool.ask(c, str(number))}"

        server.stop_process()
        callers = [gevent.spawn(call, number) for number in range(USERS)]
        gevent.joinall(callers, timeout=PATIENCE)
        server.continue_()

        errors = Counter(type(caller.exception) for caller in callers)
        assert errors == {gevent.Timeout: SIZE, PoolTimeout: USERS - SIZE}
        assert closes(pool) == {"interrupted": SIZE}
        self.check(pool, server, sampler)

    # -- the user leaves

    def test_nobody_reads_the_answer_to_a_question_that_was_given_up(
        self, make_pool, server, sampler
    ):
        pool = self.warm(make_pool(1))
        for number in range(5):
            eventually(lambda: pool.stats().idle == 1, pool)
            server.stop_process()
            with gevent.Timeout(0.05, False):
                with pool.get() as c:
                    pool.ask(c, f"given up {number}")
            server.continue_()
            with pool.get() as c:
                assert pool.ask(c, f"asked {number}")

        assert closes(pool) == {"interrupted": 5}
        check_full(pool, server)
        sampler.wait_for_samples()
        assert sampler.most_living == 1

    def test_what_hangs_is_given_up_and_its_place_is_free(self, pool, server, sampler):
        users = hold_all(pool)

        gevent.killall(users, exception=gevent.Timeout(1), timeout=PATIENCE)

        assert closes(pool) == {"interrupted": SIZE}
        self.check(pool, server, sampler)
        assert sampler.most == SIZE

    def test_impatient_users_mix_nothing_up(self, pool, server, sampler):
        seed = random.randrange(1000)
        print(f"seed {seed}")
        load = Load(pool, USERS, seed, impatient=True)
        eventually(lambda: load.interrupted >= 50 and load.right >= 50, load)

        load.finish()
        assert load.wrong == 0
        self.check(pool, server, sampler)

    def test_a_waiter_who_is_killed_costs_nobody_anything(self, pool, server, sampler):
        served = []

        def wait(number: int) -> None:
            with pool.get() as c:
                assert pool.ask(c, f"waiter-{number}")
                served.append(number)

        for _ in range(10):
            held = [pool.acquire(timeout=PATIENCE) for _ in range(SIZE)]
            waiters = [gevent.spawn(wait, number) for number in range(USERS)]
            eventually(lambda: pool.stats().waiting == USERS, pool)
            gevent.killall(waiters[0::3])
            for c in held:
                pool.release(c)
            gevent.killall(waiters[1::3], block=False)  # some have a connection in hand by now
            gevent.joinall(waiters, timeout=PATIENCE)
            assert set(served) >= set(range(2, USERS, 3))
            served.clear()

        self.check(pool, server, sampler)
