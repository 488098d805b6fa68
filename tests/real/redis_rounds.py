"""Rounds of kill -9 and restart: a real Redis, a pool, and many users who check every answer.

python tests/real/redis_rounds.py --rounds 10 --seed 1
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import argparse
import random
import sys
import time
from pathlib import Path

import gevent

sys.path.insert(0, str(Path(__file__).parent.parent / "servers"))

from real_redis_pool import RedisPool
from real_world import Load, Sampler, eventually
from redis_server import RedisServer

SIZE = 10
CLIENTS = 100


class Rounds:
    """Ten connections, a hundred clients, one Redis that dies again and again."""

    def __init__(self, rounds: int, seed: int) -> None:
        self.rounds = rounds
        self.seed = seed
        self.kills = 0
        self.full = 0
        """After how many rounds the pool was full, by its own count and by the server's."""
        self._random = random.Random(seed)
        self._server = RedisServer()

    def run(self) -> Rounds:
        """Play all rounds and sum them up."""
        began = time.monotonic()
        try:
            self._server.start()
            self.sampler = Sampler(self._server)
            with RedisPool(self._server.port, SIZE) as self.pool:
                self.load = Load(self.pool, CLIENTS, self.seed)
                for number in range(1, self.rounds + 1):
                    self._play(number)
                self.load.finish()
                self.stats = self.pool.stats()
            self.sampler.stop()
        finally:
            self._server.remove()
        self.seconds = time.monotonic() - began
        return self

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost, mixed up, too many or in need of repair."""
        return (
            self.load.wrong == 0
            and self.load.right > 0
            and self.full == self.rounds
            and 0 < self.sampler.most <= SIZE
            and self.stats.repairs == 0
        )

    def report(self) -> str:
        load, sampler, stats = self.load, self.sampler, self.stats
        errors = ", ".join(f"{count} {name}" for name, count in sorted(load.failed.items()))
        return "\n".join(
            [
                f"seed {self.seed}: {self.rounds} rounds, {self.kills} kills, {self.seconds:.1f} s",
                f"answers: {load.right} right, {load.wrong} wrong; errors: {errors or 'none'}",
                f"full after {self.full} of {self.rounds} rounds, {stats.repairs} repairs, "
                f"{stats.connects} connects, {stats.connect_errors} of them failed",
                f"connections by CLIENT LIST: never more than {sampler.most} of {SIZE} "
                f"in {sampler.samples} samples",
            ]
        )

    def _play(self, number: int) -> None:
        """One round: some work, one or more kills, and a look at what is left."""
        self.load.going.set()
        gevent.sleep(self._random.uniform(0.1, 1.5))
        self._kill()
        while self._random.random() < 0.3:  # again, while the pool is filling up
            gevent.sleep(self._random.uniform(0, 0.3))
            self._kill()
        self.load.wait_for_answers(CLIENTS)
        self.load.going.clear()
        eventually(self._is_full, self.pool)
        self.full += 1
        print(f"round {number}: full again, {self.load}", flush=True)

    def _kill(self) -> None:
        self._server.kill()
        self.kills += 1
        gevent.sleep(self._random.uniform(0, 1))
        self._server.restart()

    def _is_full(self) -> bool:
        return self.pool.stats().idle == SIZE == len(self._server.clients())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    rounds = Rounds(**vars(parser.parse_args())).run()
    print(rounds.report())
    return 0 if rounds.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
