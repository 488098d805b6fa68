"""What goes wrong in the demo, and when: drawn from the seed, over well before the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import gevent
from gevent.pool import Group

from geventconnpool.cli.demo.clients import Load
from geventconnpool.cli.demo.supervisor import Supervisor

__all__ = ["Faults", "kill_times", "quiet_from"]

_QUIET_SHARE, _QUIET_LEAST = 0.2, 3.0
_KILL_FROM = 6.0  # a run so long sees the server killed at least once
_KILL_EVERY = 5.0
_CUT_EVERY = 0.7
_LATE_EVERY = 0.9
_LATE_SHARE = 0.02
_KILL_CLIENT_EVERY = 0.15


def quiet_from(seconds: float) -> float:
    """When the faults of a run of *seconds* are over."""
    return max(0.0, seconds - max(_QUIET_LEAST, _QUIET_SHARE * seconds))


def kill_times(chance: random.Random, seconds: float) -> Iterator[tuple[float, float]]:
    """When to kill the server, and for how long it is down then."""
    if seconds < _KILL_FROM:
        return
    end = quiet_from(seconds)
    at = chance.uniform(0.3, 0.7) * min(end, _KILL_EVERY)
    while at < end:
        yield at, chance.uniform(0.5, 2.0)
        at += chance.uniform(0.7, 1.3) * _KILL_EVERY


class Faults:
    """Carries the faults out, each kind in a greenlet of its own."""

    def __init__(self, seconds: float, seed: int, load: Load, supervisor: Supervisor) -> None:
        self.counts: Counter[str] = Counter()
        """How many of each kind were carried out."""
        self._seconds = seconds
        self._seed = seed
        self._load = load
        self._supervisor = supervisor
        self._greenlets = Group()

    def start(self) -> None:
        """Begin; they end by themselves in time."""
        self._load.mischief = True
        self._greenlets.spawn(self._kill_server)
        self._greenlets.spawn(self._repeat, _CUT_EVERY, self._cut)
        self._greenlets.spawn(self._repeat, _LATE_EVERY, self._answer_late)
        self._greenlets.spawn(self._repeat, _KILL_CLIENT_EVERY, self._kill_client)
        self._greenlets.add(gevent.spawn_later(quiet_from(self._seconds), self.stop))

    def stop(self) -> None:
        """No more of them."""
        self._load.mischief = False
        self._greenlets.kill(block=False)

    def _kill_server(self) -> None:
        now = 0.0
        for at, pause in kill_times(self._chance("kill server"), self._seconds):
            gevent.sleep(at - now)
            now = at
            self.counts["server_kills"] += self._supervisor.kill(pause)

    def _repeat(self, every: float, fault: Callable[[random.Random], None]) -> None:
        chance = self._chance(fault.__name__)
        while True:
            gevent.sleep(chance.uniform(0.2, 1.8) * every)
            fault(chance)

    def _cut(self, chance: random.Random) -> None:
        count, how = chance.randint(1, 3), chance.choice(["close", "reset", "half"])
        self.counts["cuts"] += count * self._supervisor.tell("CUT", count, how)

    def _answer_late(self, chance: random.Random) -> None:
        span, late_by = chance.uniform(0.1, 0.5), chance.uniform(0.1, 2.0)
        self._supervisor.tell("LATE", span, _LATE_SHARE, late_by)

    def _kill_client(self, chance: random.Random) -> None:
        self.counts["client_kills"] += self._load.kill_one(chance)

    def _chance(self, kind: str) -> random.Random:
        return random.Random(f"{self._seed}:{kind}")
