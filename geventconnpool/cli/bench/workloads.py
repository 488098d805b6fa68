"""What the greenlets of a benchmark do with a pool: alone, in turns, and as a crowd.

Nobody waits for anything but another greenlet here, so the seconds are CPU time: with other
processes about, two pools that are alike were up to 7.6 times apart in wall time, and 5 % in
CPU time. How long somebody waits is wall time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import get_hub, getcurrent, sleep

from geventconnpool.cli.bench.measuring import Work
from geventconnpool.cli.bench.peers.door import Door

__all__ = ["Crowd", "Waits", "alternates", "crowd", "cycles", "delays", "turn_taking"]


# --- one greenlet ------------------------------------------------------------------------


def cycles(door: Door) -> Work:
    """So many checkouts and returns by one greenlet."""
    take, bring = door.take, door.bring
    if bring is None:
        return lambda count: _blocks(take, count)
    return lambda count: _pairs(take, bring, count)


def _blocks(take: Callable[[], Any], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        with take():
            pass
    return time.thread_time() - began


def _pairs(take: Callable[[], Any], bring: Callable[[Any], object], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        connection = take()
        bring(connection)
    return time.thread_time() - began


# --- two greenlets and one connection ----------------------------------------------------


def turn_taking(door: Door) -> Work:
    """So many checkouts by two greenlets, each of which waits for the other's return.

    Only with a pool that `alternates`: elsewhere nobody waits, one of the two has it all.
    """
    take, bring = door.take, door.bring
    if bring is None:
        return lambda count: _together(2, lambda: _blocks_in_turn(take, count // 2))
    return lambda count: _together(2, lambda: _pairs_in_turn(take, bring, count // 2))


def _blocks_in_turn(take: Callable[[], Any], count: int) -> None:
    with take():
        sleep(0)  # let the other one queue up; from here on somebody always waits
    for _ in range(count - 1):
        with take():
            pass


def _pairs_in_turn(take: Callable[[], Any], bring: Callable[[Any], object], count: int) -> None:
    connection = take()
    sleep(0)  # as above
    bring(connection)
    for _ in range(count - 1):
        connection = take()
        bring(connection)


def alternates(door: Door, times: int = 20) -> bool:
    """Whether a return hands the connection to the one who waits, who cannot be overtaken."""
    order: list[int] = []

    def member(number: int) -> None:
        for time_ in range(times):
            with _block_of(door):
                order.append(number)
                if time_ == 0:
                    sleep(0)

    numbers = iter(range(2))
    _together(2, lambda: member(next(numbers)))
    return order == [0, 1] * times


def delays(door: Door, times: int) -> list[int]:
    """Nanoseconds from each return until the other greenlet, which waits for it, runs."""
    take, bring = door.take, door.bring
    relay = _Relay()
    if bring is None:
        _together(2, lambda: relay.with_blocks(take, times))
    else:
        _together(2, lambda: relay.by_hand(take, bring, times))
    return relay.delays


class _Relay:
    """Two greenlets that hand each other a connection, and take the time."""

    def __init__(self) -> None:
        self.delays: list[int] = []
        self._returned = 0
        self._last: object = None

    def with_blocks(self, take: Callable[[], Any], times: int) -> None:
        me = getcurrent()
        for _ in range(times):
            with take():
                self._got(time.perf_counter_ns(), me)
                sleep(0)  # the other one queues up
                self._returned = time.perf_counter_ns()
            sleep(0)  # the other one runs

    def by_hand(self, take: Callable[[], Any], bring: Callable[[Any], object], times: int) -> None:
        me = getcurrent()
        for _ in range(times):
            connection = take()
            self._got(time.perf_counter_ns(), me)
            sleep(0)  # as above
            self._returned = time.perf_counter_ns()
            bring(connection)
            sleep(0)

    def _got(self, now: int, who: object) -> None:
        """Only from hand to hand counts: a pool may let one have it twice running."""
        if self._last is not None and who is not self._last:
            self.delays.append(now - self._returned)
        self._last = who


class _Block:
    """A pair of calls as a context manager, where its cost does not matter."""

    def __init__(self, take: Callable[[], Any], bring: Callable[[Any], object]) -> None:
        self._take = take
        self._bring = bring

    def __enter__(self) -> None:
        self._connection = self._take()

    def __exit__(self, *exc: object) -> None:
        self._bring(self._connection)


def _block_of(door: Door) -> Any:
    return door.take() if door.bring is None else _Block(door.take, door.bring)


# --- many greenlets ----------------------------------------------------------------------


@dataclass(frozen=True)
class Crowd:
    """So many greenlets, each of which holds a connection for a turn of the loop, over and over."""

    greenlets: int
    pauses: bool
    """Whether each lets a turn of the loop pass before it asks again."""


def crowd(door: Door, who: Crowd) -> Work:
    """So many checkouts in all, as many by each of the crowd."""
    take, bring, pauses, many = door.take, door.bring, who.pauses, who.greenlets
    if bring is None:
        return lambda count: _together(many, lambda: _held_blocks(take, pauses, count // many))
    return lambda count: _together(many, lambda: _held_pairs(take, bring, pauses, count // many))


def _held_blocks(take: Callable[[], Any], pauses: bool, count: int) -> None:
    for _ in range(count):
        with take():
            sleep(0)
        if pauses:
            sleep(0)


def _held_pairs(
    take: Callable[[], Any], bring: Callable[[Any], object], pauses: bool, count: int
) -> None:
    for _ in range(count):
        connection = take()
        sleep(0)
        bring(connection)
        if pauses:
            sleep(0)


@dataclass
class Waits:
    """Who waited how long in a crowd."""

    hand_offs: list[int] = field(default_factory=list)
    """Of each checkout: how many others got a connection between its asking and its getting."""
    seconds: list[float] = field(default_factory=list)
    slowest: int | None = None
    """How many checkouts the slowest greenlet had done when the first had done all of its."""

    @classmethod
    def of(cls, door: Door, who: Crowd, each: int) -> Waits:
        """What happens when each of the crowd wants *each* checkouts."""
        waits = cls()
        done = [0] * who.greenlets
        numbers = itertools.count()
        _together(who.greenlets, lambda: waits._ask(door, who, each, done, next(numbers)))
        return waits

    def _ask(self, door: Door, who: Crowd, each: int, done: list[int], number: int) -> None:
        hand_offs, seconds, clock = self.hand_offs, self.seconds, time.perf_counter
        for _ in range(each):
            seen, asked = len(hand_offs), clock()
            with _block_of(door):
                seconds.append(clock() - asked)
                hand_offs.append(len(hand_offs) - seen)
                sleep(0)
            done[number] += 1
            if self.slowest is None and done[number] == each:
                self.slowest = min(done)
            if who.pauses:
                sleep(0)


def _together(greenlets: int, member: Callable[[], None]) -> float:
    """CPU seconds from the first of so many *greenlets* beginning until the last has ended."""
    hub, main = get_hub(), getcurrent()
    stamps: list[float] = []
    failures: list[Exception] = []
    left = greenlets

    def run() -> None:
        nonlocal left
        try:
            member()
        except Exception as error:
            failures.append(error)
        left -= 1
        if not left:
            stamps.append(time.thread_time())
            hub.loop.run_callback(main.switch)

    hub.loop.run_callback(lambda: stamps.append(time.thread_time()))
    for _ in range(greenlets):
        gevent.spawn(run)
    hub.switch()
    if failures:
        raise failures[0]
    return stamps[1] - stamps[0]
