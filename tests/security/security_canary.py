"""A secret, planted in every place where users have theirs, and a pool that is full of it.

Run as a program it lets such a pool fail in all ways on a real hub, and leaves it open at exit.
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import sys
import threading
import types
import warnings
from typing import Any

import gevent
from gevent import Greenlet
from gevent.local import local

from geventconnpool import Backoff, ConnectionPool, PoolError

CANARY = "hunter2-CANARY"

of_thread, of_greenlet = threading.local(), local()


class Talkative(OSError):
    """Tells the secret in every way in which an exception can tell anything."""

    password = CANARY

    def __init__(self) -> None:
        super().__init__(CANARY, CANARY, CANARY)
        self.errno: Any = CANARY
        self.dsn = CANARY
        if sys.version_info >= (3, 11):
            self.add_note(CANARY)

    def __str__(self) -> str:
        return CANARY

    __repr__ = __str__


class Connection:
    """Its repr is its connection string."""

    def __init__(self, pool: CanaryPool) -> None:
        self.pool = pool
        self.password = CANARY

    def __repr__(self) -> str:
        return f"<Connection to db://app:{CANARY}@localhost>"

    __str__ = __repr__

    def close(self) -> None:
        self.pool.fail("close")


class CanaryPool(ConnectionPool[Connection]):
    """Its hooks fail, or hang, when told to, with the secret in their locals and arguments."""

    def __init__(self, size: int = 2, **options: Any) -> None:
        self.dsn = self._password = self.password = CANARY
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        super().__init__(size, **options)

    def fail(self, hook: str, password: str = CANARY) -> None:
        in_the_frame = [password, of_thread, of_greenlet]
        if hook in self.hanging:
            gevent.sleep(1000)
        if hook in self.failing:
            raise Talkative from ValueError(in_the_frame)

    def _new_connection(self) -> Connection:
        self.fail("connect")
        return Connection(self)

    def _keepalive(self, c: Connection) -> None:
        self.fail("ping")

    def _reset_connection(self, c: Connection) -> None:
        self.fail("reset")

    def _close_connection(self, c: Connection, reason: object) -> None:
        self.fail("goodbye")
        c.close()

    def _fileno(self, c: Connection) -> int:
        raise Talkative


def dial(password: str) -> Connection:
    """For ``functools.partial(dial, password=CANARY)``: a secret that is an argument."""
    raise Talkative


def things_of_ours() -> list[object]:
    """Everything alive that the package made, and the greenlets it runs in."""
    everything = gc.get_objects()
    return [each for each in everything if isinstance(each, Greenlet) or _is_ours(each)]


def _is_ours(each: object) -> bool:
    called = each.func if type(each) is functools.partial else each
    if isinstance(called, types.MethodType):
        called = called.__func__
    maker = called if isinstance(called, types.FunctionType) else type(called)
    return str(maker.__module__).partition(".")[0] == "geventconnpool"


# -- the program


class Life:
    """Everything that can go wrong with a pool, on a real hub."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.pool = self.new_pool()

    def new_pool(self) -> CanaryPool:
        return CanaryPool(
            2,
            keepalive=0.05,
            keepalive_timeout=0.05,
            close_timeout=0.05,
            connect_timeout=0.05,
            leak_threshold=0.05,
            backoff=Backoff(base=0.001, cap=0.01),
            listeners=[self.told.append, self.listen],
        )

    def listen(self, event: object) -> None:
        if len(self.told) % 7 == 0:
            raise Talkative

    def run(self) -> None:
        for hook in ("connect", "ping", "reset", "goodbye", "close"):
            for how in (self.pool.failing, self.pool.hanging):
                how.add(hook)
                self.use()
                how.clear()
        self.use(Talkative())
        self.use(KeyError(CANARY))
        self.throw_into_the_pools_greenlets()
        self.forget_a_lease()
        self.drop_it()
        self.leave_one_open()

    def use(self, error: BaseException | None = None) -> None:
        for _ in range(3):
            try:
                with self.pool.get(timeout=0.1):
                    gevent.sleep(0.05)
                    if error is not None:
                        raise error
            except (PoolError, Talkative, KeyError):
                pass
        self.pool.drain()
        gevent.sleep(0.1)

    def throw_into_the_pools_greenlets(self) -> None:
        self.pool.hanging = {"connect", "goodbye"}
        self.pool.drain()
        gevent.sleep(0.01)
        for each in things_of_ours():
            if isinstance(each, Greenlet) and each is not gevent.getcurrent():
                each.kill(Talkative(), block=False)
        gevent.sleep(0.01)
        self.pool.hanging = set()
        gevent.sleep(0.2)

    def forget_a_lease(self) -> None:
        self.pool.get()
        gevent.sleep(3)

    def drop_it(self) -> None:
        del self.pool
        gc.collect()
        gevent.sleep(0.2)

    def leave_one_open(self) -> None:
        self.pool = self.new_pool()
        self.lease = self.pool.get()
        self.connection = self.pool.acquire()
        self.pool.failing = {"close", "goodbye"}


if __name__ == "__main__":
    logging.basicConfig(level=1)
    warnings.simplefilter("always")
    of_thread.password = of_greenlet.password = CANARY
    life = Life()
    life.run()
    print(json.dumps({"kinds": sorted({event.kind for event in life.told})}))  # type: ignore[attr-defined]
