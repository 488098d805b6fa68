"""What it costs to keep idle connections alive and watched, and whether the pings come in time.

CPU time is that of a process of its own for each cell, over windows of six seconds. In real
life connections open and are used at any time, so pings are spread over the interval; here
the pool is filled in 30 steps with its clock put forward by a second between them, and so
every second an equal share of the connections is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event as Signal

from geventconnpool import clock
from geventconnpool.cli.bench.ancestor import AncestorPool
from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.cells import CellError, in_cell
from geventconnpool.cli.bench.crowds import LoneSocketPool, allow_descriptors
from geventconnpool.cli.bench.measuring import Effort
from geventconnpool.cli.bench.stubs import StubPool
from geventconnpool.pool import ConnectionPool
from geventconnpool.testing import Simulation

KEY = "upkeep"
QUESTION = "What do keepalive and watching of idle connections cost, and do the pings come in time?"

INTERVAL = 30
WINDOW = 6.0
SIZES = (100, 1_000, 10_000, 100_000)
QUICK_SIZES = (100, 10_000)

OWN = "geventconnpool"
WATCHED = "geventconnpool, sockets, watched"
ANCESTOR = "geventconnpool 0.2.1"
GREENLETS = "a greenlet for each connection"
TOO_LARGE = {
    WATCHED: "few systems allow so many descriptors",
    GREENLETS: "takes nearly a gigabyte",
}
TABLE = "CPU time, pinged every 30 s"


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    cost = _ask_cells(answer, effort)
    _set_cost_bars(answer, cost)
    sizes = (1_000,) if effort.quick else (1_000, 10_000)
    for size in sizes:
        _ask_in_time(answer, size)
    _ask_hanging(answer, sizes[0])
    return answer


# --- CPU time ----------------------------------------------------------------------------


def _ask_cells(answer: Answer, effort: Effort) -> dict[tuple[str, int], float]:
    """CPU time of each subject at each size."""
    cost = {}
    windows = 1 if effort.quick else 3
    for size in QUICK_SIZES if effort.quick else SIZES:
        for subject, cell in CELLS.items():
            if size > 10_000 and subject in TOO_LARGE:
                answer.absent.append(f"{subject}, {size:,} connections: {TOO_LARGE[subject]}")
                continue
            try:
                found, pings = in_cell(cell, size, windows)
            except CellError as error:
                answer.absent.append(f"{subject}, {size:,} connections: {error}")
                continue
            note = f"{pings:.0f} of {size / INTERVAL:.0f} pings a second"
            figure = Figure(TABLE, subject, *spread(found), "ms/s", size, note)
            answer.figures.append(figure)
            cost[subject, size] = figure.value
    return cost


def _set_cost_bars(answer: Answer, cost: dict[tuple[str, int], float]) -> None:
    with suppress(KeyError):
        own = cost[OWN, 10_000]
        answer.bars.append(Bar("keepalive of 10,000 idle", own, 1.0, "ms/s"))
        ratio = own / cost[ANCESTOR, 10_000]
        answer.bars.append(Bar("keepalive of 10,000 idle, against 0.2.1", ratio, 0.05))
    with suppress(KeyError):
        ratio = cost[WATCHED, 10_000] / cost[ANCESTOR, 10_000]
        answer.bars.append(Bar("keepalive of 10,000 watched, against 0.2.1", ratio, 0.05))
    with suppress(KeyError):
        ratio = cost[OWN, 100_000] / cost[OWN, 100]
        answer.bars.append(Bar("keepalive of 100,000 idle, against 100", ratio, 5.0))


def own(size: int, windows: int) -> tuple[list[float], float]:
    """Milliseconds of CPU time for each second, window by window; and pings a second."""
    return _kept(StubPool, size, windows)


def watched(size: int, windows: int) -> tuple[list[float], float]:
    """The same, for sockets that are watched."""
    allow_descriptors(size)
    return _kept(LoneSocketPool, size, windows)


class _Clock:
    """Tells the time of a pool: held in the past while it is being filled, then the real one."""

    def __init__(self) -> None:
        self.held: float | None = time.monotonic() - INTERVAL

    def __call__(self) -> float:
        return time.monotonic() if self.held is None else self.held


def _kept(kind: type[ConnectionPool[Any]], size: int, windows: int) -> tuple[list[float], float]:
    ticking = _Clock()
    began = time.monotonic() - INTERVAL
    with clock.replaced(ticking):
        pool = kind(size, keepalive=INTERVAL, min_size=0, max_connecting=128)
        for second in range(INTERVAL):
            ticking.held = began + second
            pool.resize(size, min_size=size * (second + 1) // INTERVAL)
            pool.wait_ready(None)
        ticking.held = None
    # What fell due while the pool was filled is pinged now; the rest as the seconds go by.
    gevent.sleep(1.5)
    found = _windows(windows, lambda: pool.stats().pings)
    pool.close(0)
    return found


def ancestor(size: int, windows: int) -> tuple[list[float], float]:
    """The same, for 0.2.1: one loop which takes a connection, pings it, and sleeps."""
    pings = 0

    class Counting(AncestorPool):
        def _keepalive(self, c: Any) -> None:
            nonlocal pings
            pings += 1

    pool = Counting(size, keepalive=INTERVAL, between_connects=0)
    while len(pool.idle) < size - 1:
        gevent.sleep(0.01)
    return _windows(windows, lambda: pings)


def greenlet_each(size: int, windows: int) -> tuple[list[float], float]:
    """The same, for the simplest thing that works."""
    pings = 0

    def keep(first: float) -> None:
        nonlocal pings
        gevent.sleep(first)
        while True:
            pings += 1
            gevent.sleep(INTERVAL)

    keepers = [gevent.spawn(keep, INTERVAL * number / size) for number in range(size)]
    gevent.sleep(0.5)
    found = _windows(windows, lambda: pings)
    gevent.killall(keepers, block=False)
    return found


def _windows(count: int, pings: Callable[[], int]) -> tuple[list[float], float]:
    found = []
    first = pings()
    for _ in range(count):
        began = time.process_time()
        gevent.sleep(WINDOW)
        found.append((time.process_time() - began) / WINDOW * 1e3)
    return found, (pings() - first) / (count * WINDOW)


CELLS: dict[str, Callable[[int, int], tuple[list[float], float]]] = {
    OWN: own,
    WATCHED: watched,
    ANCESTOR: ancestor,
    GREENLETS: greenlet_each,
}


# --- in time -----------------------------------------------------------------------------

TICK = 1.0
"""Upkeep looks so often where the interval is 30 s."""
MINUTES = 4


class _Noting(ConnectionPool[list[float]]):
    """A connection is the list of the times at which the peer was heard; virtual seconds."""

    def __init__(self, size: int, trip: float) -> None:
        self.trip = trip
        self.hanging: list[float] | None = None
        self.made: list[list[float]] = []
        super().__init__(size, keepalive=INTERVAL, max_connecting=size)

    def _new_connection(self) -> list[float]:
        gevent.sleep(0.37)  # so that they are opened at all kinds of moments between ticks
        self.made.append([clock.now()])
        return self.made[-1]

    def _keepalive(self, c: list[float]) -> None:
        if c is self.hanging:
            Signal().wait()
        if self.trip:
            gevent.sleep(self.trip)
        c.append(clock.now())

    def longest_silence(self) -> float:
        """Seconds, of the one that was neglected most."""
        return max(
            later - earlier
            for heard in self.made
            if heard is not self.hanging
            for earlier, later in zip(heard, [*heard[1:], clock.now()], strict=True)
        )


def _ask_in_time(answer: Answer, size: int) -> None:
    for trip in (0.0, 0.02):
        silence = _silence(size, trip)
        subject = f"a ping of {trip * 1e3:g} ms"
        table = f"longest silence, pinged every {INTERVAL} s, all opened at once (virtual time)"
        answer.figures.append(Figure(table, subject, silence, silence, silence, "s", size))
        what = f"longest silence of {size:,}, pings of {trip * 1e3:g} ms"
        answer.bars.append(Bar(what, silence, INTERVAL + TICK + trip, "s"))


def _ask_hanging(answer: Answer, size: int) -> None:
    trip = 0.02
    undisturbed, disturbed = _silence(size, trip), _silence(size, trip, hanging=True)
    delay = disturbed - undisturbed
    table = "what one ping that hangs adds to the others' longest silence (virtual time)"
    answer.figures.append(Figure(table, OWN, delay, delay, delay, "s", size))
    answer.bars.append(Bar(f"one hanging ping delays {size:,} others by", delay, TICK, "s"))


def _silence(size: int, trip: float, hanging: bool = False) -> float:
    with Simulation() as world:
        pool = _Noting(size, trip)
        pool.wait_ready(None)
        if hanging:
            pool.hanging = pool.made[0]
        world.advance(MINUTES * 60.0)
        silence = pool.longest_silence()
        pool.close(0)
    return silence
