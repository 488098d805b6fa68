"""A forked child gets connections of its own, and leaves those of its parent in peace."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time

import gevent
import gevent.os
import pytest
from gevent.event import Event as Signal
from relatives import (
    PATIENCE,
    Client,
    close_now,
    eventually,
    fork_in_c,
    in_child,
    reap,
    sessions_of,
    start_child,
)

from geventconnpool import ConnectionPool, PoolClosed, PoolPaused

FORKS = {
    "os.fork": os.fork,
    "gevent.fork": gevent.fork,
    "gevent.os.fork": gevent.os.fork,
    "in C": fork_in_c,
}

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(params=FORKS.values(), ids=FORKS)
def fork(request):
    return request.param


@pytest.fixture(params=["main", "spawned"])
def somewhere(request):
    """Runs a function in the main greenlet, or in another one."""
    if request.param == "main":
        return lambda work: work()
    return lambda work: gevent.spawn(work).get(timeout=30)


def turns(count=20):
    for _ in range(count):
        gevent.sleep(0.001)


class TestOwnConnections:
    def test_parent_and_child_talk_over_connections_of_their_own(
        self, make_pool, report, fork, somewhere
    ):
        pool = make_pool(2)
        parents = sessions_of(pool)
        before = [report()[n] for n in parents]

        def use():
            with pool.get() as a, pool.get() as b:
                return [a.ask("child"), b.ask("child")]

        childs = somewhere(lambda: in_child(use, fork))

        assert len(set(childs)) == 2
        assert not set(childs) & set(parents)
        assert [report()[n] for n in parents] == before
        assert sessions_of(pool) == parents  # which still answer
        assert pool.stats().connects == 2

    def test_a_child_that_does_nothing_touches_nothing(self, make_pool, report, fork):
        pool = make_pool(2)
        parents = sessions_of(pool)
        before = report()

        def collect_and_wait():
            gc.collect()
            turns()

        in_child(collect_and_wait, fork)

        assert report() == before
        assert sessions_of(pool) == parents

    def test_a_child_may_forget_the_pool(self, ports, report, fork):
        from relatives import ClientPool

        holder = [ClientPool(ports, 2)]
        holder[0].wait_ready(PATIENCE)
        parents = sessions_of(holder[0])
        before = report()

        def forget():
            holder.clear()
            gc.collect()
            turns()
            gc.collect()

        in_child(forget, fork)

        assert report() == before
        assert sessions_of(holder[0]) == parents
        holder[0].close()

    def test_what_hides_its_descriptor_is_kept_in_the_child_for_ever(self, ports, report, fork):
        """It would say goodbye in its parent's name when it is forgotten."""

        class Hidden:
            def __init__(self):
                self.client = Client(ports["open"])

            def close(self):
                self.client.close()

        pool = ConnectionPool(1, connect=Hidden)
        with pool.get() as c:
            mine = c.client.ask("hello")
        del c

        def use_and_forget():
            with pool.get() as c:
                own = c.client.ask("child")
            del c
            pool.drain()
            gc.collect()
            turns()
            return own

        assert in_child(use_and_forget, fork) != mine
        assert report()[mine]["received"] == "hello\n"
        pool.close()

    def test_a_child_that_closes_the_pool_says_goodbye_on_its_own_connections_only(
        self, make_pool, report, fork
    ):
        pool = make_pool(2)
        parents = sessions_of(pool)

        def close():
            with pool.get() as c:
                own = c.ask("child")
            assert pool.close() is True
            return own

        own = in_child(close, fork)

        sessions = report()
        assert sessions[own]["received"] == "child\nQUIT\n"
        assert all("QUIT" not in sessions[n]["received"] for n in parents)
        assert sessions_of(pool) == parents

    def test_a_child_may_close_a_pool_that_it_never_used(self, make_pool, report, fork):
        pool = make_pool(2)
        parents = sessions_of(pool)

        assert in_child(pool.close, fork) is True

        assert sessions_of(pool) == parents
        assert all("QUIT" not in report()[n]["received"] for n in parents)

    def test_the_parent_goes_on_while_the_child_lives(self, make_pool, report, fork):
        """What the parent closes is closed, though the child inherited the descriptors."""
        pool = make_pool(2)
        parents = sessions_of(pool)
        may_end, signal = os.pipe()

        def linger():
            with pool.get() as c:
                own = c.ask("child")
                close_now(signal)
                os.read(may_end, 1)
                return [own, c.ask("still there")]

        child, answers = start_child(linger, fork)
        eventually(lambda: any(s["received"] == "child\n" for s in report()[parents[-1] :]))
        pool.close()
        eventually(lambda: all(report()[n]["closed"] for n in parents))
        close_now(may_end)
        close_now(signal)

        first, second = reap(child, answers)
        assert first == second
        assert first not in parents

    def test_a_child_of_a_child_has_connections_of_its_own(self, make_pool, report, fork):
        pool = make_pool(1)
        parents = sessions_of(pool)

        def use():
            with pool.get() as c:
                return c.ask("generation")

        def have_children():
            early = in_child(use, fork)  # before the pool was used here
            own = use()
            late = in_child(use, fork)
            assert use() == own
            return [early, own, late]

        found = in_child(have_children, fork)

        assert len({*found, *parents}) == 4
        assert sessions_of(pool) == parents
        assert [report()[n]["received"].count("generation") for n in found] == [1, 2, 1]

    def test_a_pool_made_before_the_fork_and_never_used_works_on_both_sides(self, make_pool, fork):
        pool = make_pool(1, warm=False)

        def use():
            with pool.get() as c:
                return c.ask("hello")

        assert in_child(use, fork) != use()

    def test_a_child_checks_out_as_cheaply_as_its_parent(self, make_pool, fork):
        pool = make_pool(1)

        def is_calm():
            for _ in range(3):
                with pool.get() as c:
                    c.ask("hello")
            state = pool._geventconnpool.state
            return pool._geventconnpool_calm is state.calm and len(state.calm.shelf) == 1

        assert is_calm()
        assert in_child(is_calm, fork)

    def test_children_of_multiprocessing_have_their_own(self, make_pool, report):
        pool = make_pool(1)
        parents = sessions_of(pool)
        context = multiprocessing.get_context("fork")
        own = context.Value("i", -1)

        def work():
            with pool.get() as c:
                own.value = c.ask("child")

        child = context.Process(target=work)
        child.start()
        child.join(PATIENCE)

        assert child.exitcode == 0
        assert own.value not in (-1, *parents)
        assert sessions_of(pool) == parents
        child.close()

    def test_what_was_learnt_at_run_time_is_inherited(self, make_pool):
        pool = make_pool(2)
        pool.resize(4, min_size=1)

        def look():
            pool.wait_ready(PATIENCE)
            with pool.get():
                return [pool.size, pool.min_size, pool.stats().connects, pool.stats().repairs]

        assert in_child(look) == [4, 1, 1, 0]


class TestStates:
    def test_a_paused_pool_is_paused_in_the_child_until_resumed(self, make_pool, report, fork):
        pool = make_pool(1)
        parents = sessions_of(pool)
        pool.pause()

        def use():
            with pytest.raises(PoolPaused):
                pool.acquire()
            pool.resume()
            with pool.get() as c:
                return c.ask("hello")

        assert in_child(use, fork) not in parents
        with pytest.raises(PoolPaused):
            pool.acquire()

    def test_a_closed_pool_is_closed_in_the_child(self, make_pool, fork):
        pool = make_pool(1)
        pool.close()

        def use():
            with pytest.raises(PoolClosed):
                pool.acquire()
            return pool.close()

        assert in_child(use, fork) is True

    def test_a_pool_not_opened_yet_can_be_opened_in_the_child(self, make_pool, fork):
        pool = make_pool(1, warm=False, start=False)

        def use():
            with pytest.raises(PoolClosed):
                pool.acquire()
            pool.open()
            with pool.get() as c:
                return c.ask("hello")

        own = in_child(use, fork)
        with pytest.raises(PoolClosed):
            pool.acquire()
        pool.open()
        with pool.get() as c:
            assert c.ask("hello") != own


class TestInTheMiddle:
    def test_copies_of_users_who_go_on_in_the_child_reach_nobody(self, make_pool, report, fork):
        pool = make_pool(2)
        go_on = Signal()
        using = {}
        ended = []

        def use(line):
            with pool.get() as c:
                using[line] = c.ask("before")
                if line == "read":
                    c.sock.sendall(b"mute\n")
                    c.sock.recv(100)  # nothing comes: waits in the socket
                else:
                    go_on.wait()
                    c.ask(line)
            ended.append(line)

        users = [gevent.spawn(use, "after"), gevent.spawn(use, "read")]
        eventually(lambda: len(using) == 2)
        turns(3)
        before = report()

        def go_on_here():
            go_on.set()
            gevent.joinall(users, timeout=PATIENCE)
            return [repr(user.exception) for user in users]

        errors = in_child(go_on_here, fork)

        assert report()[: len(before)] == before
        assert "BrokenPipe" in errors[0] or "EOF" in errors[0]
        assert errors[1] == "None"  # the end of the stream
        assert pool.stats().active == 2
        go_on.set()
        users[0].join(PATIENCE)
        assert ended == ["after"]
        users[1].kill()
        sessions = report()
        assert sessions[using["after"]]["received"].startswith("before\nafter\n")

    def test_what_is_held_at_the_fork_can_be_brought_back_on_both_sides(
        self, make_pool, report, fork
    ):
        pool = make_pool(2)
        with pool.get() as c:
            by_hand = pool.acquire()
            before = report()

            def bring_back():
                pool.release(by_hand)
                with pool.get() as own:
                    assert own is not c
                    assert own is not by_hand
                    return own.ask("child")

            assert in_child(bring_back, fork) >= len(before)
            assert report()[: len(before)] == before
            assert c.ask("parent") < len(before)
            pool.release(by_hand)
        assert pool.stats().idle == 2
        assert pool.stats().closes["lost"] == 0

    def test_a_block_entered_before_the_fork_may_be_left_in_the_child(self, make_pool, fork):
        pool = make_pool(1)

        def use():
            with pool.get() as c:
                mine = c.ask("before")
                reader, writer = os.pipe()
                child = fork()
                if child:
                    close_now(writer)
                    return mine, child, reader
            status = b"?"
            try:
                with pool.get() as c:
                    status = str(c.ask("child")).encode()
            finally:
                os.write(writer, status)
                os._exit(0)

        mine, child, reader = use()
        with open(reader) as answer:
            assert int(answer.read()) != mine
        eventually(lambda: _is_reaped(child))
        assert sessions_of(pool) == [mine]

    def test_copies_of_those_who_wait_are_served_in_the_child(self, make_pool, report, fork):
        """Though nobody else uses the pool there."""
        pool = make_pool(1)
        served = []

        def use():
            with pool.get() as c:
                served.append(c.ask("waited"))

        with pool.get() as c:
            mine = c.ask("holder")
            waiters = [gevent.spawn(use) for _ in range(2)]
            turns(3)
            assert pool.stats().waiting == 2

            def wait_here():
                gevent.joinall(waiters, timeout=PATIENCE, raise_error=True)
                return served

            theirs = in_child(wait_here, fork)
            assert len(theirs) == 2
            assert mine not in theirs
            assert served == []
        gevent.joinall(waiters, timeout=PATIENCE, raise_error=True)
        assert served == [mine, mine]
        assert "waited" in report()[mine]["received"]

    def test_so_is_a_copy_of_one_who_was_just_being_served(self, make_pool, report, fork):
        pool = make_pool(1)
        served = []

        def use():
            with pool.get() as c:
                served.append(c.ask("waited"))

        c = pool.acquire()
        mine = c.ask("holder")
        waiter = gevent.spawn(use)
        turns(3)
        pool.release(c)  # into the hands of the waiter, who has not run yet

        def wait_here():
            waiter.get(timeout=PATIENCE)
            return served

        (theirs,) = in_child(wait_here, fork)
        assert theirs != mine
        waiter.get(timeout=PATIENCE)
        assert served == [mine]
        assert report()[mine]["received"] == "holder\nwaited\n"  # once

    def test_a_copy_of_one_who_waits_is_sent_away_in_time_in_the_child(self, make_pool, fork):
        pool = make_pool(1)
        with pool.get():
            waiter = gevent.spawn(pool.acquire, timeout=0.3)
            turns(3)

            def wait_here():
                pool.pause()
                waiter.join(PATIENCE)
                return type(waiter.exception).__name__

            assert in_child(wait_here, fork) == "PoolPaused"
            waiter.join(PATIENCE)
            assert type(waiter.exception).__name__ == "PoolTimeout"

    def test_a_copy_of_one_who_waits_for_the_pool_to_be_ready_sees_it_ready(
        self, make_pool, ports, fork
    ):
        pool = make_pool(1, warm=False, kind="silent", min_size=0)
        waiter = gevent.spawn(pool.wait_ready, PATIENCE)
        eventually(lambda: pool.stats().connecting == 1)

        def wait_here():
            pool.kind = "open"
            waiter.get(timeout=PATIENCE)
            return pool.stats().idle

        assert in_child(wait_here, fork) == 1
        assert not waiter.ready()
        waiter.kill()

    def test_a_connect_under_way_stays_the_parents(self, make_pool, report, fork):
        known = len(report())
        pool = make_pool(1, warm=False, kind="silent")
        eventually(lambda: len(report()) > known)
        turns(3)
        (under_way,) = report()[known:]

        def use():
            pool.kind = "open"
            with pool.get() as c:
                own = c.ask("child")
            assert pool.broken_off == ["GreenletExit"]  # the copy does not go on
            return own

        assert in_child(use, fork) != under_way["id"]
        assert pool.broken_off == []
        assert report()[under_way["id"]] == under_way
        assert not under_way["closed"]
        assert pool.stats().connecting == 1

    def test_a_ping_under_way_stays_the_parents(self, make_pool, report, fork):
        pool = make_pool(1, keepalive=3600)
        parents = sessions_of(pool)
        checker = gevent.spawn(pool.check)
        eventually(lambda: report()[parents[0]]["received"].endswith("mute PING\n"))
        before = report()[parents[0]]

        def use():
            turns()
            with pool.get() as c:
                return c.ask("child")

        assert in_child(use, fork) not in parents
        assert report()[parents[0]] == before
        assert pool.stats().checking == 1
        checker.kill()
        pool.drain()

    def test_a_goodbye_under_way_stays_the_parents(self, ports, report, fork):
        class Slow(ConnectionPool):
            def _new_connection(self):
                return Client(ports["open"])

            def _close_connection(self, c, reason):
                c.ask("leaving")
                try:
                    may_leave.wait()
                finally:
                    c.close()

        may_leave = Signal()
        pool = Slow(1, close_timeout=60)
        with pool.get() as c:
            mine = c.ask("hello")
        pool.drain()
        eventually(lambda: report()[mine]["received"].endswith("leaving\n"))
        before = report()[mine]

        def go_on():
            may_leave.set()
            turns()
            with pool.get() as c:
                return c.ask("child")

        assert in_child(go_on, fork) != mine
        assert report()[mine] == before
        may_leave.set()
        eventually(lambda: report()[mine]["closed"])
        assert report()[mine]["received"].endswith("QUIT\n")
        pool.close()


def _is_reaped(child):
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


ENDS = {
    "returns": "",
    "sys.exit": "sys.exit(0)",
    "error": "raise SystemExit('in the child')",
    "os._exit": "os._exit(0)",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_however_a_child_ends_its_parents_sessions_stay(run_script, report, end):
    known = len(report())
    done = run_script(
        f"""
import os, sys
import gevent
from relatives import ClientPool, sessions_of
pool = ClientPool(PORTS, 2)
pool.wait_ready()
mine = sessions_of(pool)
held = pool.acquire()
waiting = [gevent.spawn(pool.acquire) for _ in range(3)]
gevent.sleep(0)
child = os.fork()
if not child:
    gevent.sleep(0.01)
    {end or "pass"}
else:
    os.waitpid(child, 0)
    held.ask("after")
    pool.release(held)
    gevent.killall(waiting)
    print(os.getpid())
""",
        "-X", "dev",
    )  # fmt: skip
    sessions = report()[known : known + 2]
    assert done.returncode == 0, done.stderr
    assert sorted(s["received"].count("after\n") for s in sessions) == [0, 1]
    for session in sessions:
        # Whatever the interpreter makes the parent's own clients say comes last.
        assert session["received"].replace("after\n", "") in ("who\n", "who\nQUIT\n")


def test_where_the_kernel_cannot_wipe_a_page_the_process_id_tells(run_script):
    done = run_script(
        """
import mmap, os
class NoSuchPage:
    def __init__(self, *args, **kwargs): raise OSError
mmap.mmap = NoSuchPage
from geventconnpool import forks
assert type(forks.SAME_PROCESS).__name__ == "_ByProcessId"
from relatives import ClientPool, sessions_of, in_child, fork_in_c
pool = ClientPool(PORTS, 2)
pool.wait_ready()
mine = sessions_of(pool)
def use():
    assert bool(forks.SAME_PROCESS) == (fork is not fork_in_c)
    with pool.get() as c:
        own = c.ask("child")
    assert forks.SAME_PROCESS
    return own
for fork in (os.fork, fork_in_c):
    assert in_child(use, fork) not in mine
    assert sessions_of(pool) == mine
print("fine")
"""
    )
    assert done.stdout == "fine\n", done.stderr


def test_names_can_be_resolved_in_a_child(run_script):
    """By the native threads of gevent's, which a fork does not copy."""
    done = run_script(
        """
import os
from gevent import socket
from relatives import in_child
from geventconnpool import ConnectionPool
def connect():
    return socket.create_connection((socket.gethostbyname("localhost"), PORTS["open"]))
pool = ConnectionPool(1, connect=connect)
pool.wait_ready()
def use():
    with pool.get(timeout=8) as c:
        c.sendall(b"hello\\n")
        return c.recv(100).decode()
print(in_child(use, os.fork))
""",
        "-W", "ignore",
    )  # fmt: skip
    assert done.stdout.endswith(" hello\n\n"), done.stderr


def test_nothing_of_this_takes_long(make_pool):
    """A fork costs a child little, however many connections its parent has."""
    pool = make_pool(50)
    assert pool.stats().idle == 50

    def look():
        began = time.monotonic()
        with pool.get() as c:
            c.ask("hello")
        return time.monotonic() - began

    assert in_child(look) < PATIENCE
