"""What a checkout costs that need not wait."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from geventconnpool.cli.bench.answers import Answer, Bar, Figure
from geventconnpool.cli.bench.careful import CarefulPool
from geventconnpool.cli.bench.floors import CheckoutPool, GeneratorPool, RecordPool
from geventconnpool.cli.bench.measuring import Effort, Slices, measure
from geventconnpool.cli.bench.peers import Door, installed
from geventconnpool.cli.bench.stubs import SocketPool, StubPool, ready
from geventconnpool.cli.bench.workloads import cycles

__all__ = ["KEY", "QUESTION", "ask"]

KEY = "uncontended"
QUESTION = "What does a checkout cost that need not wait, and the return?"

SIZE = 10
CYCLES = 10_000
"""So many leave no memory behind."""
FEATURES: dict[str, Any] = {"keepalive": 30, "max_lifetime": 1800}

FLOOR = "floor: a reused record"
CAREFUL = "floor of a correct pool"
OURS = "geventconnpool"
OFF = "geventconnpool, optional features off"

FASTER_THAN = {
    "geventconnpool 0.2.1": 5.5,
    "redis-py BlockingConnectionPool": 10.0,
    "psycopg_pool connection()": 20.0,
    "SQLAlchemy QueuePool": 20.0,
}
"""How many times as long as ours theirs has to take."""


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    doors = {**_floors(), **_ours()}
    peers, answer.absent = installed()
    doors |= {peer.name: peer.make(SIZE) for peer in peers}
    try:
        slices = measure({name: cycles(door) for name, door in doors.items()}, effort)
        answer.figures += slices.figures("a checkout and return, against the floor", FLOOR)
        answer.bars += _bars(slices)
        _count_blocks(answer, doors)
    finally:
        for door in doors.values():
            door.close()
    return answer


def _floors() -> dict[str, Door]:
    return {
        FLOOR: Door(RecordPool(SIZE).get),
        CAREFUL: Door(CarefulPool(SIZE).get),
        "hand-written: an object for each checkout": Door(CheckoutPool(SIZE).get),
        "hand-written: a generator for each checkout": Door(GeneratorPool(SIZE).get),
    }


def _ours() -> dict[str, Door]:
    """Ours with everything on that a checkout could notice, and with more and less of it."""
    listeners: list[Callable[[Any], object]] = [lambda event: None]
    pools: dict[str, Any] = {
        OURS: StubPool(SIZE, **FEATURES),
        OFF: StubPool(SIZE, watch_idle=False),
        "geventconnpool, over sockets, watched": SocketPool(SIZE, **FEATURES),
        "geventconnpool, a listener": StubPool(SIZE, listeners=listeners, **FEATURES),
        "geventconnpool, looking for leaks": StubPool(SIZE, leak_threshold=60, **FEATURES),
    }
    return {name: Door(ready(pool).get, close=pool.close) for name, pool in pools.items()}


def _bars(slices: Slices) -> list[Bar]:
    what = "a checkout and return"
    bars = [
        Bar(f"{what}, all features on", slices.ratio(OURS, FLOOR), 1.5),
        Bar(f"{what}, optional features off", slices.ratio(OFF, FLOOR), 1.3),
        Bar(f"{what}, against a correct pool", slices.ratio(OURS, CAREFUL), 1.15, guarded=True),
    ]
    for peer, limit in FASTER_THAN.items():
        if peer in slices.seconds:
            bars.append(Bar(f"faster than {peer}", slices.ratio(peer, OURS), limit, at_most=False))
    return bars


# --- memory ------------------------------------------------------------------------------


def _count_blocks(answer: Answer, doors: dict[str, Door]) -> None:
    """What checkouts allocate, and what they leave behind."""
    found = {name: _blocks(doors[name].take) for name in (*_floors(), OURS, OFF)}
    statement, _ = found[FLOOR]  # the with statement's own: the method that ends it
    tables = "memory blocks while one is out", f"memory blocks left by {CYCLES:,} checkouts"
    for name, (during, after) in found.items():
        for table, blocks in zip(tables, (during - statement, after), strict=True):
            answer.figures.append(Figure(table, name, blocks, blocks, blocks, "blocks"))
    during, after = found[OURS]
    allocated = max(during - statement, after)
    answer.bars.append(Bar("allocated by a checkout", allocated, 0, "blocks", guarded=True))


def _blocks(take: Callable[[], Any]) -> tuple[int, int]:
    """How many more blocks there are while a connection is out, and after many checkouts."""
    count = sys.getallocatedblocks
    before = during = after = 0
    for _ in range(CYCLES):  # warms up; small integers, for one, are never allocated
        with take():
            pass
    before = count()
    before = count()  # again, for the number is a block itself
    for _ in range(CYCLES):
        with take():
            pass
    after = count() - before
    before = count()
    before = count()
    with take():
        during = count() - before
    return during, after
