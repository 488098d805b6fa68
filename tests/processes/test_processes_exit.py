"""An open pool never keeps its process from exiting, and says nothing when it does."""

from __future__ import annotations

import pytest

# Whether the interpreter finds the sockets that nobody closed is a matter of luck.
STRICT = ("-X", "dev", "-W", "error", "-W", "ignore::ResourceWarning")

OPEN_POOL = """
import sys, gevent
from geventconnpool import ConnectionPool
from relatives import connect
pool = ConnectionPool(3, connect=lambda: connect(PORTS["open"]), max_lifetime=60, leak_threshold=60)
pool.wait_ready()
"""

PROGRAMS = {
    "ends": (OPEN_POOL, 0),
    "never began": ("from geventconnpool import ConnectionPool as P; p = P(2, connect=object)", 0),
    "exits": (OPEN_POOL + "sys.exit(3)", 3),
    "exits in a block": (OPEN_POOL + "with pool.get() as c: sys.exit(4)", 4),
    "holds one": (OPEN_POOL + "c = pool.acquire()", 0),
    "has users": (
        OPEN_POOL
        + """
def use():
    while True:
        with pool.get() as c:
            c.sendall(b"mute\\n")
            gevent.sleep(0.001)
users = [gevent.spawn(use) for _ in range(6)]
gevent.sleep(0.02)
""",
        0,
    ),
    "has waiters": (
        OPEN_POOL
        + """
held = [pool.acquire() for _ in range(3)]
waiters = [gevent.spawn(pool.acquire, timeout=None) for _ in range(3)]
gevent.sleep(0.01)
assert pool.stats().waiting == 3
""",
        0,
    ),
    "is connecting": (
        """
import gevent
from geventconnpool import ConnectionPool
pool = ConnectionPool(3, connect=lambda: gevent.sleep(3600))
gevent.sleep(0.01)
assert pool.stats().connecting == 3
""",
        0,
    ),
    "cannot connect": (
        """
import gevent
from geventconnpool import ConnectionPool
def connect(): raise OSError
pool = ConnectionPool(3, connect=connect)
gevent.sleep(0.01)
assert pool.stats().connect_errors
""",
        0,
    ),
    "waits for all greenlets": (OPEN_POOL + "assert gevent.wait()", 0),
    "joins the hub": (OPEN_POOL + "assert gevent.get_hub().join()", 0),
    "joins the hub while connects fail": (
        """
import gevent
from geventconnpool import ConnectionPool
def connect(): raise OSError
pool = ConnectionPool(3, connect=connect)
gevent.sleep(0.01)
assert gevent.get_hub().join()
""",
        0,
    ),
    "forgot the pool": (OPEN_POOL + "del pool", 0),
    "closed the pool": (OPEN_POOL + "assert pool.close()", 0),
}


@pytest.mark.parametrize(("program", "status"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_with_an_open_pool_exits_by_itself_and_in_silence(run_script, program, status):
    done = run_script(program, *STRICT)
    assert done.stderr == ""
    assert done.returncode == status


def test_an_error_that_ends_the_program_is_all_that_is_said(run_script):
    done = run_script(OPEN_POOL + "with pool.get() as c: raise KeyError('mine')", *STRICT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "KeyError: 'mine'"
    assert done.stderr.count("Traceback") == 1
    assert "ignored" not in done.stderr


def test_a_pool_in_a_thread_that_has_ended_does_no_harm(run_script):
    done = run_script(
        """
import gevent
from gevent import monkey
from geventconnpool import ConnectionPool
pools = []
def live():
    pool = ConnectionPool(2, connect=object)
    pool.wait_ready()
    pools.append(pool)
    gevent.get_hub().destroy()
gevent.get_hub().threadpool.apply(live)
assert pools[0].stats().idle == 2
pools.clear()
import gc; gc.collect()
gevent.sleep(0.01)
""",
        *STRICT,
    )
    assert done.stderr == ""
    assert done.returncode == 0
