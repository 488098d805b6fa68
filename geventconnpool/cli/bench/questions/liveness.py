"""Is this idle connection still alive? What asking costs, and how soon a closed peer is noticed."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event as Signal

from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.measuring import Effort, Slices, Work, measure
from geventconnpool.cli.bench.stubs import SocketPool, StubPool, ready
from geventconnpool.events import Event

KEY = "liveness"
QUESTION = (
    "What does it cost to know that an idle connection is alive, and how soon is a close seen?"
)

SIZE = 10
CLOSINGS = 200
PATIENCE = 10.0

NONE = "geventconnpool, connections without a descriptor"
UNWATCHED = "geventconnpool, sockets, watch_idle=False"
WATCHED = "geventconnpool, sockets, watched"


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    _ask_checkouts(answer, effort)
    _ask_checks(answer, effort)
    _ask_closings(answer, CLOSINGS // 4 if effort.quick else CLOSINGS)
    return answer


# --- at a checkout -----------------------------------------------------------------------


def _ask_checkouts(answer: Answer, effort: Effort) -> None:
    pools: dict[str, Any] = {
        NONE: ready(StubPool(SIZE)),
        UNWATCHED: ready(SocketPool(SIZE, watch_idle=False)),
        WATCHED: ready(SocketPool(SIZE)),
    }
    slices = measure({name: _checkouts(pool) for name, pool in pools.items()}, effort)
    for pool in pools.values():
        pool.close(0)
    answer.figures += _nanoseconds(slices, "a checkout and return", list(pools))
    added = "what it adds to a checkout and return"
    watching = _difference(slices, WATCHED, UNWATCHED)
    answer.figures.append(Figure(added, "watching", *spread(watching), "ns"))
    closed = _difference(slices, UNWATCHED, NONE)
    note = "asked on the return: did its user close it?"
    answer.figures.append(Figure(added, "a descriptor", *spread(closed), "ns", note=note))
    what = "watched against unwatched, a checkout and return"
    answer.bars.append(Bar(what, spread(watching)[0], 20, "ns"))


def _checkouts(pool: Any) -> Work:
    def work(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            with pool.get():
                pass
        return time.perf_counter() - began

    return work


def _difference(slices: Slices, subject: str, base: str) -> list[float]:
    pairs = zip(slices.seconds[subject], slices.seconds[base], strict=True)
    return [(one - other) * 1e9 for one, other in pairs]


def _nanoseconds(slices: Slices, table: str, names: list[str]) -> list[Figure]:
    found = []
    for name in names:
        nanoseconds = [seconds * 1e9 for seconds in slices.seconds[name]]
        found.append(Figure(table, name, *spread(nanoseconds), "ns"))
    return found


# --- other ways to ask -------------------------------------------------------------------


def _ask_checks(answer: Answer, effort: Effort) -> None:
    """Each on one healthy, idle socket, which is the case that must be cheap."""
    ours, theirs = monkey.get_original("socket", "socketpair")()
    checks = _checks(ours, answer.absent)
    base = "the call alone"
    slices = measure({base: _asks(lambda: False)} | checks, effort)
    for name in checks:
        nanoseconds = _difference(slices, name, base)
        figure = Figure("one question to an idle socket", name, *spread(nanoseconds), "ns")
        answer.figures.append(figure)
    ours.close()
    theirs.close()


def _asks(check: Callable[[], object]) -> Work:
    def work(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            check()
        return time.perf_counter() - began

    return work


def _checks(ours: Any, absent: list[str]) -> dict[str, Work]:
    fd: int = ours.fileno()
    ours.setblocking(False)
    poll = monkey.get_original("select", "poll")
    kept = _registered(poll(), fd)
    checks: dict[str, Callable[[], object]] = {
        "poll, the object kept": lambda: kept.poll(0),
        "poll, a new object": lambda: _registered(poll(), fd).poll(0),
        "recv with MSG_PEEK": lambda: _peek(ours),
        "select": lambda: _select([fd], [], [], 0),
        "poll, as gevent patches it": lambda: _registered(select.poll(), fd).poll(0),
    }
    try:
        epoll = monkey.get_original("select", "epoll")()
    except AttributeError:
        absent.append("epoll: this system has none")
    else:
        epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        checks["epoll for all, asked"] = lambda: epoll.poll(0)
    return {name: _asks(check) for name, check in checks.items()}


_select = monkey.get_original("select", "select")


def _registered(poll: Any, fd: int) -> Any:
    poll.register(fd, select.POLLIN)
    return poll


def _peek(ours: Any) -> bool:
    try:
        return not ours.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False


# --- the peer closes ---------------------------------------------------------------------


def _ask_closings(answer: Answer, count: int) -> None:
    waits = sorted(_closings(count))
    note = f"{count} closings, one after the other, with nothing else to do"
    for share in (0.50, 0.99, 1.0):
        wait = waits[max(0, round(share * len(waits)) - 1)]
        name = "longest" if share == 1 else f"p{share * 100:.0f}"
        table = "from the peer's close until the pool knows"
        answer.figures.append(Figure(table, name, wait, waits[0], waits[-1], "ms", note=note))
        if name == "p99":
            answer.bars.append(Bar("closed peer noticed, p99", wait, 5, "ms"))


def _closings(count: int) -> list[float]:
    """Milliseconds from each close of a peer's end to the event that tells of it."""
    told: list[float] = []
    noticed = Signal()

    def listen(event: Event) -> None:
        if event.kind == "connection_closed":
            told.append(time.perf_counter())
            noticed.set()

    pool = SocketPool(SIZE, listeners=[listen])
    waits = []
    for _ in range(count):
        ready(pool)  # a new connection that is closed unused would call for a backoff
        gevent.sleep(0.002)  # the hub has gone to sleep
        noticed.clear()
        began = time.perf_counter()
        pool.peers.pop(0).close()
        if not noticed.wait(PATIENCE):
            raise TimeoutError("a closed peer was never noticed")
        waits.append((told[-1] - began) * 1e3)
    pool.close(0)
    return waits
