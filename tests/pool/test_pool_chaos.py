"""A short, seeded life full of trouble: kills, cuts, restarts, timeouts, operators.

Afterwards nothing is lost, nothing was mixed up, and nothing is left.
"""

from __future__ import annotations

import random
from typing import Any

import gevent
import pytest

from geventconnpool import ConnectionPool, PoolError
from geventconnpool.testing import FakePeer, Simulation

SIZE = 5
VIRTUAL_SECONDS = 40

OPTIONS: list[dict[str, Any]] = [
    {},
    {"listeners": [lambda event: None]},
    {"check_after": 0, "reset": True},
    {"check_after": 1, "max_lifetime": 20},
    {"min_size": 2, "idle_timeout": 5, "order": "fifo"},
    {"leak_threshold": 30, "fail_fast_after": 1, "max_lifetime": 10},
]


class ChaoticLife:
    """One pool, its clients, and everything that happens to them."""

    def __init__(self, sim: Simulation, seed: int, options: dict[str, Any]) -> None:
        self.sim = sim
        self.rng = random.Random(seed)
        self.peer = FakePeer("peer", latency=0.01, close_latency=0.02)
        self.pool = make_pool(self.peer, self.rng, dict(options))
        self.wrong: list[object] = []
        self.right = 0
        self.clients = [sim.spawn(self.live, number) for number in range(12)]

    def live(self, number: int) -> None:
        turn = 0
        while self.sim.now < VIRTUAL_SECONDS:
            turn += 1
            try:
                with gevent.Timeout(self.rng.choice([None, None, None, 0.015, 0.5]), False):
                    self.ask((number, turn))
            except (PoolError, OSError, LookupError):
                pass
            gevent.sleep(self.rng.random() * 0.2)

    def ask(self, token: tuple[int, int]) -> None:
        with self.pool.get(timeout=self.rng.choice([0, 1, 3])) as connection:
            answer = connection.request(token)
            if answer != token:
                self.wrong.append((self.sim.now, token, answer))
            self.right += 1
            if self.rng.random() < 0.05:
                raise LookupError

    def meddle(self) -> None:
        """One act of chance."""
        acts = [self.kill_client, self.kill_anybody, self.cut, self.restart, self.operate]
        self.rng.choices(acts, [6, 6, 4, 1, 3])[0]()
        for number, client in enumerate(self.clients):
            if client.dead:
                self.clients[number] = self.sim.spawn(self.live, number)

    def kill_client(self) -> None:
        self.rng.choice(self.clients).kill(block=False)

    def kill_anybody(self) -> None:
        victims = self.sim.alive()
        if victims:
            self.rng.choice(victims).kill(block=False)

    def cut(self) -> None:
        if self.peer.open:
            self.peer.cut_all() if self.rng.random() < 0.2 else self.peer.cut(self.oldest())

    def oldest(self) -> Any:
        return min(self.peer.open, key=lambda connection: repr(connection))

    def restart(self) -> None:
        self.sim.spawn(self.peer.restart, self.rng.random() * 3)

    def operate(self) -> None:
        act = self.rng.randrange(4)
        if act == 0:
            self.pool.drain(interrupt=self.rng.random() < 0.5)
        elif act == 1:
            self.pool.pause(interrupt=self.rng.random() < 0.5)
            self.sim.sleep(0.3)
            self.pool.resume()
        elif act == 2:
            self.pool.resize(self.rng.choice([1, 3, SIZE]), 0)
        else:
            self.sim.spawn(self.pool.check)


def make_pool(peer: FakePeer, rng: random.Random, options: dict[str, Any]) -> Any:
    resets = options.pop("reset", False)

    class Pool(ConnectionPool[Any]):
        def _new_connection(self) -> Any:
            return peer.connect()

        def _keepalive(self, c: Any) -> None:
            c.ping()

    class ResettingPool(Pool):
        def _reset_connection(self, c: Any) -> None:
            if rng.random() < 0.01:
                raise OSError("no reset")

    kind = ResettingPool if resets else Pool
    return kind(SIZE, keepalive=5, timeout=3, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_or_mixed_up(seed: int, options: dict[str, Any]) -> None:
    with Simulation(seed=seed, shuffle=True) as sim:
        life = ChaoticLife(sim, seed, options)
        pool, peer = life.pool, life.peer
        while sim.now < VIRTUAL_SECONDS:
            sim.sleep(life.rng.random() * 0.4)
            life.meddle()
            stats = pool.stats()
            taken = stats.active + stats.connecting + stats.checking + stats.closing
            assert stats.idle + taken <= SIZE
        gevent.killall(life.clients, block=False)
        pool.resume()
        pool.resize(SIZE, SIZE)
        sim.sleep(30)

        assert life.wrong == []
        assert life.right > 200
        assert peer.most_open <= SIZE
        assert peer.complaints == []
        assert (pool.stats().idle, pool.stats().repairs) == (SIZE, 0)

        assert pool.close() is True
        sim.sleep(10)
        assert (len(peer.open), sim.timers, sim.alive()) == (0, [], [])
        assert sim.errors == []
