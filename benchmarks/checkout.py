"""What a checkout costs, beside the least that anything of its kind can cost.

Everything is measured side by side in one process: in each round every subject gets one
short slice, in random order, with the garbage collector off. The figure for a subject is
the median over the rounds of its ratio to the floor in the same round, so that a machine
which others use, too, slows both sides alike.

    python benchmarks/checkout.py [--rounds 200] [--seed 1] [--check]

``--check`` ends with status 1 if a ratio is above its bar.
"""

from __future__ import annotations

import argparse
import collections
import gc
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub, getcurrent, socket

import geventconnpool
from geventconnpool import ConnectionPool

SIZE = 10


# --- floors --------------------------------------------------------------------------------


class Record:
    """A connection that is its own context manager, made once and used again."""

    __slots__ = ("connection", "idle")

    def __init__(self, idle: collections.deque[Any]) -> None:
        self.connection = object()
        self.idle = idle

    def __enter__(self) -> object:
        return self.connection

    def __exit__(self, *exc: object) -> None:
        self.idle.append(self)


class RecordPool:
    """The least: a deque of reused records. No checks, no waiting, no times."""

    def __init__(self) -> None:
        self.idle: collections.deque[Record] = collections.deque()
        self.idle.extend(Record(self.idle) for _ in range(SIZE))

    def get(self, timeout: float | None = None) -> Record:
        return self.idle.pop()


class Checkout:
    """What a hand-written pool returns: an object for each checkout."""

    __slots__ = ("connection", "idle")

    def __init__(self, idle: collections.deque[Any]) -> None:
        self.idle = idle

    def __enter__(self) -> object:
        self.connection = self.idle.pop()
        return self.connection

    def __exit__(self, *exc: object) -> None:
        self.idle.append(self.connection)


class HandWrittenPool:
    """A minimal class-based context manager over a deque."""

    def __init__(self) -> None:
        self.idle: collections.deque[Any] = collections.deque(object() for _ in range(SIZE))

    def get(self, timeout: float | None = None) -> Checkout:
        return Checkout(self.idle)


class BareLine:
    """First come, first served, through the hub. Not safe against kills; no timeout."""

    def __init__(self) -> None:
        self.idle = [object()]
        self.waiting: collections.deque[tuple[Any, list[object]]] = collections.deque()

    def get(self) -> BareCheckout:
        if self.idle:
            return BareCheckout(self, self.idle.pop())
        box: list[object] = []
        self.waiting.append((getcurrent().switch, box))
        get_hub().switch()
        return BareCheckout(self, box[0])

    def put(self, connection: object) -> None:
        if self.waiting:
            switch, box = self.waiting.popleft()
            box.append(connection)
            get_hub().loop.run_callback(switch)
        else:
            self.idle.append(connection)


class BareCheckout:
    __slots__ = ("connection", "line")

    def __init__(self, line: BareLine, connection: object) -> None:
        self.line = line
        self.connection = connection

    def __enter__(self) -> object:
        return self.connection

    def __exit__(self, *exc: object) -> None:
        self.line.put(self.connection)


# --- subjects ------------------------------------------------------------------------------


class StubPool(ConnectionPool[object]):
    """Connections that cost nothing, so that only the pool is measured."""

    def _new_connection(self) -> object:
        return object()

    def _keepalive(self, c: object) -> None:
        pass


class SocketPool(ConnectionPool[Any]):
    """Real descriptors, watched."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.peers: list[Any] = []
        super().__init__(*args, **options)

    def _new_connection(self) -> Any:
        ours, theirs = socket.socketpair()
        self.peers.append(theirs)
        return ours

    def _keepalive(self, c: Any) -> None:
        pass


def ready(pool: ConnectionPool[Any]) -> ConnectionPool[Any]:
    """*pool*, full, with every connection used once: new ones have to prove themselves."""
    pool.wait_ready()
    out = [pool.acquire() for _ in range(pool.size)]
    for connection in out:
        pool.release(connection)
    return pool


def uncontended(pool: Any, count: int) -> float:
    """Seconds for *count* checkouts by one greenlet."""
    began = time.perf_counter()
    for _ in range(count):
        with pool.get():
            pass
    return time.perf_counter() - began


def blocked(pool: Any, count: int) -> float:
    """Seconds for *count* checkouts by two greenlets on one connection, each of which waits."""

    def take_turns() -> None:
        lease = pool.get()
        lease.__enter__()
        gevent.sleep(0)  # let the other one queue up; from here on somebody always waits
        for _ in range(count // 2):
            lease.__exit__(None, None, None)
            lease = pool.get()
            lease.__enter__()
        lease.__exit__(None, None, None)

    began = time.perf_counter()
    gevent.joinall([gevent.spawn(take_turns) for _ in range(2)])
    return time.perf_counter() - began


# --- measuring -----------------------------------------------------------------------------


def measure(
    work: Callable[[Any, int], float], subjects: dict[str, Any], rounds: int, count: int
) -> dict[str, list[float]]:
    """Seconds a checkout for each subject, one figure a round."""
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for name in subjects:
        work(subjects[name], count)
    names = list(subjects)
    for _ in range(rounds):
        random.shuffle(names)
        gevent.sleep(0)
        gc.collect()
        gc.disable()
        for name in names:
            found[name].append(work(subjects[name], count) / count)
        gc.enable()
    return found


def report(found: dict[str, list[float]], floor: str, bars: dict[str, float]) -> bool:
    """Print the ratios to *floor*; False if one is above its bar."""
    fine = True
    print(f"{'':44}{'ns (best)':>10}{'ratio':>8}{'bar':>6}")
    for name, times in found.items():
        pairs = zip(times, found[floor], strict=True)
        ratio = statistics.median(one / other for one, other in pairs)
        bar = bars.get(name)
        shown = "" if bar is None else f"{bar:.2f}"
        late = bar is not None and ratio > bar
        fine = fine and not late
        print(f"{name:44}{min(times) * 1e9:10.0f}{ratio:8.2f}{shown:>6}{'  above' if late else ''}")
    return fine


def checkouts(rounds: int) -> bool:
    full = {"keepalive": 30, "max_lifetime": 1800}
    subjects = {
        "hand-written: an object for each checkout": HandWrittenPool(),
        "the least: a reused record": RecordPool(),
        "geventconnpool": ready(StubPool(SIZE, **full)),
        "geventconnpool, sockets, watched": ready(SocketPool(SIZE, **full)),
        "geventconnpool, a listener": ready(StubPool(SIZE, listeners=[lambda e: None], **full)),
    }
    print("uncontended: with pool.get(); keepalive, lifetime, watching and stats on")
    found = measure(uncontended, subjects, rounds, 2000)
    floor = "hand-written: an object for each checkout"
    return report(found, floor, {"geventconnpool": 2.0})


def hand_offs(rounds: int) -> bool:
    subjects = {
        "bare first-come hand-off": BareLine(),
        "geventconnpool, default timeout": ready(StubPool(1, keepalive=30, max_lifetime=1800)),
        "geventconnpool, no timeout": ready(StubPool(1, keepalive=30, timeout=None)),
    }
    print("\nblocked: every checkout waits, and is handed the connection by another greenlet")
    found = measure(blocked, subjects, rounds, 1000)
    return report(found, "bare first-come hand-off", {"geventconnpool, default timeout": 1.6})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="status 1 if above a bar")
    options = parser.parse_args()
    random.seed(options.seed)
    print(
        f"geventconnpool {geventconnpool.__version__}, gevent {gevent.__version__}, "
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{options.rounds} rounds, seed {options.seed}"
    )
    fine = checkouts(options.rounds)
    fine = hand_offs(options.rounds) and fine
    return 0 if fine or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
