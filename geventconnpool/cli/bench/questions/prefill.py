"""How long filling a pool takes, in units of one connect, and what it does to everybody else.

As everywhere in these benchmarks the garbage collector is off while something is measured.
"""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import gevent
from gevent import get_hub
from gevent.lock import Semaphore

from geventconnpool.cli.bench.ancestor import AncestorPool
from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.measuring import Effort
from geventconnpool.pool import ConnectionPool

KEY = "prefill"
QUESTION = "How long does it take to fill a pool, and until its first connection can be used?"

SIZES = (100, 1_000)
LATENCIES = (0.0, 0.001, 0.020)
MOST_ROUNDS = 7
BURST = 128

FLOOR = f"floor: greenlets behind a semaphore of {BURST}"
OWN = f"geventconnpool, max_connecting={BURST}"
DEFAULT = "geventconnpool, max_connecting=32, the default"
ANCESTOR = "geventconnpool 0.2.1"

CONNECTS_FULL = {100: 5.0, 1_000: 16.0}
"""The bars, in connects of 20 ms."""
CONNECTS_FIRST = 1.2
STALL = 10.0
HANDSHAKE_SPARE = 15.0


@dataclass
class Filling:
    """How it went: seconds, and the longest of what may happen meanwhile."""

    first: float = 0.0
    full: float = 0.0
    stall: float = 0.0
    handshake: float = 0.0


@dataclass
class Peer:
    """Accepts connections, each after *latency*; remembers how long the slowest has taken."""

    latency: float
    slowest: float = field(default=0.0, init=False)

    def connect(self) -> object:
        began = time.perf_counter()
        gevent.sleep(self.latency)
        self.slowest = max(self.slowest, time.perf_counter() - began)
        return object()


Fill = Callable[[int, Peer, Filling], None]
"""Fills something of a size, noting when the first connection could be used."""


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    rounds = max(3, min(effort.rounds, MOST_ROUNDS))
    for latency in LATENCIES:
        for size in SIZES:
            subjects = _subjects(answer.absent, size, latency, effort.quick)
            _ask_one(answer, subjects, size, latency, Effort(rounds, effort.seed))
    answer.absent = sorted(set(answer.absent))
    return answer


def _subjects(absent: list[str], size: int, latency: float, quick: bool) -> dict[str, Fill]:
    subjects: dict[str, Fill] = {FLOOR: _floor, OWN: _own(BURST), DEFAULT: _own(32)}
    if quick:
        absent += [f"{ANCESTOR}: takes too long for a quick look", "psycopg_pool: the same"]
        return subjects
    if size > 100:
        absent.append(f"{ANCESTOR}, 1,000 connections: takes 100 s, one in 0.1 s")
    elif latency == LATENCIES[-1]:
        subjects[ANCESTOR] = _ancestor
    try:
        subjects |= _psycopg_pools()
    except ImportError as error:
        absent.append(f"psycopg_pool: cannot be imported ({error})")
    return subjects


def _ask_one(
    answer: Answer, subjects: dict[str, Fill], size: int, latency: float, effort: Effort
) -> None:
    connects = []
    fillings: dict[str, list[Filling]] = {name: [] for name in subjects}
    order = random.Random(effort.seed)
    for number in range(effort.rounds):
        connects.append(_one_connect(latency))
        for name in order.sample(list(subjects), len(subjects)):
            if number == 0 or name in (FLOOR, OWN, DEFAULT):  # the others' schedules are fixed
                fillings[name].append(_fill(subjects[name], size, latency))
    for name, found in fillings.items():
        _note(answer, name, found, connects, size, latency)
    if latency == LATENCIES[-1]:
        _set_bars(answer, fillings[OWN], connects, size, latency)


def _note(
    answer: Answer,
    name: str,
    found: list[Filling],
    connects: list[float],
    size: int,
    latency: float,
) -> None:
    """Figures in connects where one takes a time worth the name, else in milliseconds."""
    head = f"connects of {latency * 1e3:g} ms"
    full = [filling.full * 1e3 for filling in found]
    first = [filling.first * 1e3 for filling in found]
    unit, note = "ms", ""
    if latency:
        note = f"{spread(full)[0]:.1f} ms"
        full, first = _in_connects(full, connects), _in_connects(first, connects)
        unit = "connects"
    stalls = [filling.stall * 1e3 for filling in found]
    worst = f"worst of {len(found)}: {max(stalls):.1f}"
    slowest = [filling.handshake * 1e3 for filling in found]
    answer.figures += [
        Figure(f"until full, {head}", name, *spread(full), unit, size, note),
        Figure(f"until the first can be used, {head}", name, *spread(first), unit, size),
        Figure(f"longest stall of the loop, {head}", name, *spread(stalls), "ms", size, worst),
        Figure(f"slowest single connect, {head}", name, *spread(slowest), "ms", size),
    ]


def _in_connects(milliseconds: list[float], connects: list[float]) -> list[float]:
    return [one / (unit * 1e3) for one, unit in zip(milliseconds, connects, strict=False)]


def _set_bars(
    answer: Answer, found: list[Filling], connects: list[float], size: int, latency: float
) -> None:
    def median(values: list[float]) -> float:
        return spread(values)[0]

    full = median(_in_connects([each.full * 1e3 for each in found], connects))
    first = median(_in_connects([each.first * 1e3 for each in found], connects))
    stall = median([each.stall * 1e3 for each in found])
    slowest = median([each.handshake * 1e3 for each in found])
    limit = 2 * latency * 1e3 + HANDSHAKE_SPARE
    what = f"{size:,} connects of {latency * 1e3:g} ms"
    answer.bars += [
        Bar(f"until full, {what}", full, CONNECTS_FULL[size], "connects"),
        Bar(f"until the first can be used, {what}", first, CONNECTS_FIRST, "connects"),
        Bar(f"longest stall of the loop, {what}", stall, STALL, "ms"),
        Bar(f"slowest single connect, {what}", slowest, limit, "ms"),
    ]


# --- measuring ---------------------------------------------------------------------------


def _one_connect(latency: float) -> float:
    """Seconds that a greenlet takes to connect, with nothing else to do."""
    seconds = []
    with _calm():
        for _ in range(3):
            began = time.perf_counter()
            gevent.spawn(Peer(latency).connect).join()
            seconds.append(time.perf_counter() - began)
    return spread(seconds)[0]


def _fill(fill: Fill, size: int, latency: float) -> Filling:
    peer, filling = Peer(latency), Filling()
    with _calm(), _StallWatch() as watch:
        fill(size, peer, filling)
    filling.stall = watch.longest
    filling.handshake = peer.slowest
    return filling


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Nothing is left over from before, and no garbage is collected inside the block."""
    gc.collect()
    gevent.sleep(0.05)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _StallWatch:
    """A timer that ought to be called every millisecond, and notes how late it was."""

    PERIOD = 0.001

    def __init__(self) -> None:
        self.longest = 0.0

    def __enter__(self) -> _StallWatch:
        self._timer = get_hub().loop.timer(self.PERIOD, repeat=self.PERIOD)
        gevent.sleep(0.003)
        self._last = time.perf_counter()
        self._timer.start(self._look)
        return self

    def __exit__(self, *exc: object) -> None:
        self._timer.stop()
        self._timer.close()
        self._look()

    def _look(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last - self.PERIOD)
        self._last = now


# --- subjects ----------------------------------------------------------------------------


def _floor(size: int, peer: Peer, filling: Filling) -> None:
    gate = Semaphore(BURST)
    began = time.perf_counter()

    def connect() -> None:
        with gate:
            peer.connect()
        filling.first = filling.first or time.perf_counter() - began

    gevent.joinall([gevent.spawn(connect) for _ in range(size)])
    filling.full = time.perf_counter() - began


def _own(max_connecting: int) -> Fill:
    def fill(size: int, peer: Peer, filling: Filling) -> None:
        pool = ConnectionPool(
            size, connect=peer.connect, max_connecting=max_connecting, start=False
        )
        began = time.perf_counter()
        pool.open()
        with pool.get():
            filling.first = time.perf_counter() - began
        pool.wait_ready()
        filling.full = time.perf_counter() - began
        pool.close()

    return fill


def _ancestor(size: int, peer: Peer, filling: Filling) -> None:
    class Pool(AncestorPool):
        def _new_connection(self) -> Any:
            return peer.connect()

    began = time.perf_counter()
    pool = Pool(size)
    with pool.get():
        filling.first = time.perf_counter() - began
    while len(pool.idle) < size:
        gevent.sleep(0.001)
    filling.full = time.perf_counter() - began


def _psycopg_pools() -> dict[str, Fill]:
    psycopg_pool: Any = import_module("psycopg_pool")
    from geventconnpool.cli.bench.peers.psycopg_pools import StubConnection

    def filled_by(workers: int) -> Fill:
        def fill(size: int, peer: Peer, filling: Filling) -> None:
            class Connection(StubConnection):
                @classmethod
                def connect(cls, conninfo: str, **options: object) -> StubConnection:
                    peer.connect()
                    return cls()

            began = time.perf_counter()
            with psycopg_pool.ConnectionPool(
                "", connection_class=Connection, min_size=size, max_size=size,
                num_workers=workers, open=True,
            ) as pool:  # fmt: skip
                with pool.connection():
                    filling.first = time.perf_counter() - began
                pool.wait(60)
                filling.full = time.perf_counter() - began

        return fill

    name = f"psycopg_pool {psycopg_pool.__version__}"
    return {f"{name}, num_workers={workers}": filled_by(workers) for workers in (3, 10)}
