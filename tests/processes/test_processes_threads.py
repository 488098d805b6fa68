"""A pool lives in one native thread; another one is told so at once, and spoils nothing."""

from __future__ import annotations

import gevent
import pytest
from gevent import monkey
from gevent.event import Event as Signal
from relatives import PATIENCE

from geventconnpool import ConnectionPool, WrongHub
from geventconnpool.threads import get_ident

ORDERS = {
    "get": lambda pool, c: pool.get(),
    "get without waiting": lambda pool, c: pool.get(timeout=0),
    "acquire": lambda pool, c: pool.acquire(),
    "acquire without blocking": lambda pool, c: pool.acquire(blocking=False),
    "release": lambda pool, c: pool.release(c),
    "discard": lambda pool, c: pool.discard(c),
    "detach": lambda pool, c: pool.detach(c),
    "drain": lambda pool, c: pool.drain(),
    "pause": lambda pool, c: pool.pause(),
    "resume": lambda pool, c: pool.resume(),
    "resize": lambda pool, c: pool.resize(7),
    "check": lambda pool, c: pool.check(),
    "wait_ready": lambda pool, c: pool.wait_ready(),
    "open": lambda pool, c: pool.open(),
    "close": lambda pool, c: pool.close(),
}


@pytest.fixture
def elsewhere():
    """Runs a function in another native thread, and waits for it as gevent does."""
    pool = gevent.get_hub().threadpool

    def elsewhere(work, *args):
        with gevent.Timeout(PATIENCE):
            return pool.apply(work, args)

    yield elsewhere
    pool.kill()


@pytest.fixture
def pool():
    pool = ConnectionPool(3, connect=object, name="home")
    pool.wait_ready(PATIENCE)
    yield pool
    pool.close()


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("day", ["calm", "busy"])
def test_an_order_from_another_thread_is_refused_and_nothing_changes(pool, elsewhere, order, day):
    c = pool.acquire()
    if day == "calm":
        for _ in range(3):
            with pool.get():
                pass
    before = pool.stats()

    with pytest.raises(WrongHub) as caught:
        elsewhere(order, pool, c)

    assert "thread" in str(caught.value)
    assert caught.value.stats.size == 3
    assert pool.stats() == before
    assert repr(pool).startswith("<ConnectionPool 'home': 1 active, 2 idle")
    pool.release(c)
    assert pool.stats().idle == 3


def test_a_block_left_in_another_thread_is_refused_and_can_be_left_at_home(pool, elsewhere):
    for _ in range(3):
        with pool.get():
            pass
    lease = pool.get()
    lease.__enter__()

    with pytest.raises(WrongHub):
        elsewhere(lease.__exit__, None, None, None)

    assert pool.stats().active == 1
    lease.__exit__(None, None, None)
    assert pool.stats().idle == 3


def test_looking_is_allowed_from_everywhere(pool, elsewhere):
    with pool.get():

        def look():
            return pool.size, pool.min_size, pool.name, pool.closed, repr(pool), pool.stats()

        assert elsewhere(look) == look()
        assert elsewhere(look)[0] == 3


def test_a_pool_opened_in_another_thread_lives_there(elsewhere):
    pool = ConnectionPool(2, connect=object, start=False)

    def live():
        try:
            pool.open()
            pool.wait_ready(PATIENCE)
            with pool.get() as a, pool.get() as b:
                waiter = gevent.spawn(pool.acquire)
                gevent.sleep(0)
                assert a is not b
            pool.release(waiter.get(timeout=PATIENCE))
            return pool.stats().idle
        finally:
            opened.append(pool.stats().connects)

    opened = []
    assert elsewhere(live) == 2
    assert opened == [2]
    for order in (pool.acquire, pool.get, pool.drain, pool.close):
        with pytest.raises(WrongHub):
            order()
    assert pool.stats().idle == 2
    assert elsewhere(pool.close) is True


def test_each_thread_may_have_a_pool_of_its_own(pool, elsewhere):
    def live():
        with ConnectionPool(2, connect=object) as own:
            with own.get(timeout=PATIENCE) as c:
                return type(c).__name__

    assert elsewhere(live) == "object"
    with pool.get() as c:
        assert c is not None


def test_a_pool_forgotten_in_another_thread_closes_its_connections_at_home(elsewhere):
    closed = Signal()

    class Telling(ConnectionPool):
        def _close_connection(self, c, reason):
            threads.append(get_ident())
            closed.set()

    threads = []
    holder = [Telling(1, connect=object)]
    holder[0].wait_ready(PATIENCE)

    elsewhere(holder.clear)

    assert closed.wait(PATIENCE)
    assert threads == [get_ident()]


def test_threads_are_told_apart_whatever_is_patched():
    """Greenlets of one thread are one thread, though the patched function says otherwise."""
    seen = {gevent.spawn(get_ident).get(timeout=PATIENCE) for _ in range(3)}
    assert seen == {get_ident()}
    assert get_ident is monkey.get_original("_thread", "get_ident")
