"""A soak: rounds of faults between a pool and its server, and what is left after each of them.

``python tests/real/real_soak.py --seconds 60 --seed 1`` prints a table, one line for each round,
and ends with status 1 if anything grew, or if an answer was wrong.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import gevent

sys.path.append(str(Path(__file__).parents[1] / "servers"))
from line_clients import Clients, LinePool, check_whole, eventually, is_full
from line_server import LineServer
from proxy_faults import FAULTS

from geventconnpool.testing.proxy import FaultProxy

SIZE = 5
CLIENTS = 12
STEPS = 4
WARM_UP = 3
"""Rounds until caches, free lists and the threads of the resolver are there."""
ENOUGH = 9
"""Rounds after them that make a trend."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is in a quiet moment."""

    descriptors: int
    greenlets: int
    watchers: int
    objects: int
    """Those that the garbage collector knows."""
    traced: int
    """Bytes that Python has allocated, by tracemalloc."""
    resident: int
    """Bytes of memory of the process."""


TOLERANCE = Sample(
    descriptors=0, greenlets=0, watchers=0, objects=40, traced=16_000, resident=250_000
)
"""By how much each may grow in a round, see `growth`.

What is counted is the same after each round. Memory is not: tables double, allocators take
pages. Measured over runs of 40 to 80 rounds on Python 3.10, 3.11 and 3.13: by at most 2
objects, 1.4 kB traced and 20 kB resident (3 kB where tracemalloc is off), and for any nine
rounds of them, which is as short as the test gets, 22 objects, 7.7 kB and 89 kB. A round has
some 30 connections, so a record of 600 bytes kept for each is more than what is tolerated.
"""


def take_sample() -> Sample:
    gc.collect()
    known = gc.get_objects()
    with open("/proc/self/statm") as pages:
        resident = int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Sample(
        descriptors=len(os.listdir("/proc/self/fd")),
        greenlets=sum(isinstance(each, gevent.Greenlet) and not each.ready() for each in known),
        watchers=gevent.get_hub().loop.activecnt,
        objects=len(known),
        traced=tracemalloc.get_traced_memory()[0],
        resident=resident,
    )


def growth(values: list[float]) -> float:
    """By how much *values* grow from one to the next: the median of all slopes.

    Single outliers, such as a table that doubles, do not count; what grows in each round does.
    """
    pairs = itertools.combinations(enumerate(values), 2)
    return statistics.median((b - a) / (j - i) for (i, a), (j, b) in pairs)


class Soak:
    """Its rounds, their samples, and what was wrong."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.samples: list[Sample] = []
        self.requests = self.right = 0
        self.wrong: list[str] = []

    def run(self, seconds: float) -> Iterator[Sample]:
        """Rounds for so many seconds, and at least so many that a trend can be told."""
        end = time.monotonic() + seconds
        with ExitStack() as block:
            block.callback(tracemalloc.stop)
            tracemalloc.start()
            server = block.enter_context(LineServer(seconds=2 * seconds + 120))
            proxy = block.enter_context(FaultProxy(server.address))
            pool = LinePool(
                proxy.address,
                SIZE,
                keepalive=0.1,
                connect_timeout=0.3,
                keepalive_timeout=0.3,
                max_lifetime=5.0,
            )
            block.callback(pool.close, 10)
            while time.monotonic() < end or len(self.samples) < WARM_UP + ENOUGH:
                yield self._round(pool, proxy, server, f"{self.seed}: {len(self.samples)}")
            assert pool.stats().repairs == 0

    def _round(self, pool: LinePool, proxy: FaultProxy, server: LineServer, seed: str) -> Sample:
        chance = random.Random(seed)
        clients = Clients(pool, CLIENTS, seed)
        try:
            for _ in range(STEPS):
                chance.choice(list(FAULTS.values())).step(proxy, chance)
                clients.make_requests(CLIENTS)
                if chance.random() < 0.5:
                    proxy.heal()
            proxy.heal()
            clients.get_answers()
            clients.stop()
        finally:
            clients.kill()
        self.requests += clients.outcomes.total()
        self.right += clients.right
        self.wrong += clients.wrong
        self._quiet(pool, proxy, server)
        self.samples.append(take_sample())
        return self.samples[-1]

    def _quiet(self, pool: LinePool, proxy: FaultProxy, server: LineServer) -> None:
        """The same state after each round: everything idle, and nothing under way."""

        def is_quiet() -> bool:
            sessions = server.report()["now"]
            return sessions == len(proxy.open) == len(proxy._links) == SIZE and is_full(pool)

        check_whole(pool)
        quiet = False
        while not quiet:
            eventually(is_quiet, lambda: (pool, proxy, server.report()))
            gevent.sleep(0.01)  # what was closed in this turn is gone in the next
            quiet = is_quiet()
        assert proxy.most_open <= SIZE

    def complaints(self) -> list[str]:
        """What is not as it should be."""
        steady = self.samples[WARM_UP:]
        found = [*self.wrong]
        for field in fields(Sample):
            grew = growth([getattr(each, field.name) for each in steady])
            if grew > getattr(TOLERANCE, field.name):
                found.append(f"{field.name} grow by {grew:g} in each round")
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    soak = Soak(arguments.seed)
    print("round", *(field.name.rjust(11) for field in fields(Sample)))
    for number, sample in enumerate(soak.run(arguments.seconds), 1):
        print(f"{number:5}", *(f"{value:11}" for value in astuple(sample)), flush=True)
    print(f"{soak.requests} requests, {soak.right} right, {len(soak.wrong)} wrong answers")
    complaints = soak.complaints()
    print(*complaints or ["nothing grew"], sep="\n")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
