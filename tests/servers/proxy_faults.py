"""The faults of a `FaultProxy`, one step at a time: what the real tests and the soak draw from."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from geventconnpool.testing.proxy import FaultProxy, Way


def _slow(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.to_server.latency = chance.uniform(0, 0.02)
    proxy.to_client.latency = chance.uniform(0, 0.02)


def _too_slow(proxy: FaultProxy, chance: random.Random) -> None:
    """Slower than the clients are patient."""
    _way(proxy, chance).latency = 0.25


def _bytes(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.to_server.slice_size = proxy.to_client.slice_size = 1
    _way(proxy, chance).pause = 0.001


def _slices(proxy: FaultProxy, chance: random.Random) -> None:
    way = _way(proxy, chance)
    way.slice_size, way.pause = chance.randint(2, 9), chance.uniform(0, 0.01)


def _black_hole(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.black_hole = True


def _black_hole_one_way(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.heal()
    _way(proxy, chance).black_hole = True


def _short_black_hole(proxy: FaultProxy, chance: random.Random) -> None:
    """On and off, so that answers come late."""
    way = _way(proxy, chance)
    way.black_hole = not way.black_hole


def _cut_one(proxy: FaultProxy, chance: random.Random) -> None:
    if proxy.open:
        proxy.cut(chance.choice(proxy.open))


def _cut_all(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.cut()


def _hang_up(proxy: FaultProxy, chance: random.Random) -> None:
    if proxy.open:
        proxy.hang_up(chance.choice(proxy.open))


def _half_close(proxy: FaultProxy, chance: random.Random) -> None:
    if proxy.open:
        proxy.hang_up(chance.choice(proxy.open), way=_way(proxy, chance))


def _hang_up_on_accept(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.hang_up_on_accept = True
    _cut_one(proxy, chance)


def _refuse(proxy: FaultProxy, chance: random.Random) -> None:
    proxy.up = False
    _cut_one(proxy, chance)


def _restart(proxy: FaultProxy, chance: random.Random) -> None:
    """Down and up by turns."""
    proxy.up = not proxy.up
    proxy.cut()


def _way(proxy: FaultProxy, chance: random.Random) -> Way:
    return chance.choice([proxy.to_server, proxy.to_client])


@dataclass(frozen=True)
class Fault:
    """One step of it, and for which of these reasons a pool closes connections then."""

    step: Callable[[FaultProxy, random.Random], None]
    reasons: frozenset[str] = field(default_factory=frozenset)


_GONE = frozenset({"broken", "lost"})
_SILENT = frozenset({"interrupted"})
_NO_CONNECT = frozenset({"connect_failed"})

FAULTS = {
    "slow": Fault(_slow),
    "too slow": Fault(_too_slow, _SILENT),
    "bytes": Fault(_bytes),
    "slices": Fault(_slices),
    "black hole": Fault(_black_hole, _SILENT),
    "black hole one way": Fault(_black_hole_one_way, _SILENT),
    "short black hole": Fault(_short_black_hole, _SILENT),
    "cut one": Fault(_cut_one, _GONE),
    "cut all": Fault(_cut_all, _GONE),
    "hang up": Fault(_hang_up, _GONE),
    "half-close": Fault(_half_close, _GONE),
    "hang up on accept": Fault(_hang_up_on_accept, _NO_CONNECT),
    "refuse": Fault(_refuse, _NO_CONNECT),
    "restart": Fault(_restart, _NO_CONNECT),
}
