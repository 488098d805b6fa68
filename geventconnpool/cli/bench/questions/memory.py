"""What a pool keeps for each idle connection, and for each greenlet that waits for one.

Every figure is that of a process of its own. Python's own bytes are counted exactly
(tracemalloc), without the connection; what the process takes from the system (RSS) has
everything in it, stacks of greenlets above all.
"""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from typing import Any

import gevent
from gevent import get_hub
from greenlet import greenlet

from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.cells import CellError, in_cell
from geventconnpool.cli.bench.crowds import LoneSocketPool, allow_descriptors
from geventconnpool.cli.bench.measuring import Effort
from geventconnpool.cli.bench.peers import Door, Peer, installed
from geventconnpool.cli.bench.stubs import StubPool, ready
from geventconnpool.pool import ConnectionPool

KEY = "memory"
QUESTION = "What memory does a pool take for each idle connection, and for each waiter?"

IDLE = 2_000
FEW_IDLE = 200
SLOW_TO_FILL = ("httpcore",)
"""Looks at every connection at every turn: 2,000 would take minutes."""
IDLE_BY_SYSTEM = 10_000
WAITERS = 2_000

PARKED = "floor: a parked greenlet"
OWN = "geventconnpool"
WATCHED = "geventconnpool, sockets, watched"

IDLE_BYTES = 512.0
WAITER_RATIO = 1.15


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    peers: list[Peer] = []
    if effort.quick:
        answer.absent.append("other pools: take too long for a quick look")
    else:
        peers, answer.absent = installed()
    repeats = 1 if effort.quick else 3
    _ask_idle(answer, peers)
    _ask_idle_by_system(answer, repeats)
    _ask_waiters(answer, peers, repeats)
    return answer


# --- idle connections --------------------------------------------------------------------


def _ask_idle(answer: Answer, peers: list[Peer]) -> None:
    table = f"own bytes for each of {IDLE:,} idle connections"
    for name, cell in {OWN: idle, WATCHED: watched}.items():
        _ask_cell(answer, table, name, 1, cell, IDLE, False)
    for peer in peers:
        count = FEW_IDLE if peer.name in SLOW_TO_FILL else IDLE
        where = (peer.make.__module__, peer.name)
        _ask_cell(answer, table, peer.name, 1, idle_at_peer, *where, count)
    _set_idle_bar(answer, table, "own bytes for an idle watched connection")


def _ask_idle_by_system(answer: Answer, repeats: int) -> None:
    table = f"RSS for each of {IDLE_BY_SYSTEM:,} idle connections"
    for name, cell in {OWN: idle, WATCHED: watched}.items():
        _ask_cell(answer, table, name, repeats, cell, IDLE_BY_SYSTEM, True)
    _set_idle_bar(answer, table, "RSS for an idle watched connection")


def _set_idle_bar(answer: Answer, table: str, what: str) -> None:
    with suppress(KeyError):
        answer.bars.append(Bar(what, _found(answer, table)[WATCHED], IDLE_BYTES, "bytes"))


def idle(count: int, by_system: bool) -> float:
    """Bytes for each idle connection that has no descriptor."""
    return _per_idle(StubPool, [object() for _ in range(count)], by_system)


def watched(count: int, by_system: bool) -> float:
    """Bytes for each idle socket; the sockets themselves are there before."""
    allow_descriptors(count)
    source = LoneSocketPool(1, start=False)
    return _per_idle(LoneSocketPool, [source._new_connection() for _ in range(count)], by_system)


def _per_idle(kind: type[ConnectionPool[Any]], connections: list[Any], by_system: bool) -> float:
    """Bytes that a pool with keepalive takes for each of *connections*, idle and proven."""
    count = len(connections)
    supply = iter(connections)
    ready(kind(10, keepalive=30)).close()  # what is made once is made
    measure = _resident if by_system else _traced
    before = measure()
    pool = ready(kind(count, keepalive=30, connect=lambda: next(supply)))
    gevent.sleep(1.5)  # a tick has passed
    used = measure() - before
    pool.close(0)
    return used / count


def idle_at_peer(module: str, name: str, count: int) -> float:
    """Bytes for each idle connection in another pool, without the connection."""
    make = _maker(module, name)
    make(10).close()
    before = _traced()
    door = make(count)
    used = _traced() - before
    taken = door.take()
    connection = taken if door.bring is not None else taken.__enter__()
    return used / count - sys.getsizeof(connection)


def _maker(module: str, name: str) -> Callable[[int], Door]:
    peers: list[Peer] = import_module(module).PEERS
    return next(peer.make for peer in peers if peer.name == name)


def _traced() -> int:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- waiters -----------------------------------------------------------------------------


def _ask_waiters(answer: Answer, peers: list[Peer], repeats: int) -> None:
    table = f"RSS for each of {WAITERS:,} greenlets that wait for a connection"
    for name, cell in {PARKED: parked, OWN: waiting}.items():
        _ask_cell(answer, table, name, repeats, cell)
    for peer in peers:
        _ask_cell(answer, table, peer.name, 1, waiting_at_peer, peer.make.__module__, peer.name)
    found = _found(answer, table)
    with suppress(KeyError):
        ratio = found[OWN] / found[PARKED]
        answer.bars.append(Bar("a blocked waiter, against a parked greenlet", ratio, WAITER_RATIO))


def parked() -> float:
    """RSS of a greenlet that is in a function and waits for nothing."""
    hub = get_hub()

    def stand() -> None:
        hub.switch()

    return _per_waiter(stand)


def waiting() -> float:
    """RSS of a greenlet that waits for a connection of ours."""
    pool = ready(StubPool(1, keepalive=30))
    return _blocked(Door(pool.get))


def waiting_at_peer(module: str, name: str) -> float:
    """RSS of a greenlet that waits for a connection of another pool."""
    return _blocked(_maker(module, name)(1))


def _blocked(door: Door) -> float:
    take = door.take

    def use_block() -> None:
        with take():
            pass

    taken = take()
    if door.bring is None:
        block: AbstractContextManager[Any] = taken
        block.__enter__()
        return _per_waiter(use_block)
    return _per_waiter(lambda: take() and None)


def _per_waiter(wait: Callable[[], None]) -> float:
    waiting = _waiters(wait, 100)  # what is made once is made
    before = _resident()
    waiting += _waiters(wait, WAITERS)
    used = _resident() - before
    if any(each.ready() for each in waiting):
        raise AssertionError("some do not wait")
    return used / WAITERS


def _waiters(wait: Callable[[], None], count: int) -> list[gevent.Greenlet[[], None]]:
    greenlets = [gevent.spawn(wait) for _ in range(count)]
    while not all(greenlet.__bool__(each) for each in greenlets):  # gevent's own says "soon"
        gevent.sleep(0.01)
    gevent.sleep(0.1)
    return greenlets


# --- cells -------------------------------------------------------------------------------


def _ask_cell(
    answer: Answer,
    table: str,
    subject: str,
    repeats: int,
    cell: Callable[..., float],
    *arguments: Any,
) -> None:
    try:
        found = [in_cell(cell, *arguments) for _ in range(repeats)]
    except CellError as error:
        answer.absent.append(f"{table}: {subject}: {error}")
    else:
        answer.figures.append(Figure(table, subject, *spread(found), "bytes"))


def _found(answer: Answer, table: str) -> dict[str, float]:
    return {each.subject: each.value for each in answer.figures if each.table == table}
