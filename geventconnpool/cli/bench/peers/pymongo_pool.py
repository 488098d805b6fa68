"""pymongo's pool, without a server to say hello to."""

from __future__ import annotations

import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

options: Any = importlib.import_module("pymongo.pool_options")
pools: Any = importlib.import_module("pymongo.synchronous.pool")


class StubWire:
    """The network interface that a connection sits on."""

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class StubConnection(pools.Connection):  # type: ignore[misc]
    def conn_closed(self) -> bool:
        return False


class StubbedPool(pools.Pool):  # type: ignore[misc]
    def connect(self, handler: object = None) -> StubConnection:
        return StubConnection(StubWire(), self, self.address, 1, self.is_sdam)


def _make(size: int) -> Door:
    pool = StubbedPool(("localhost", 27017), options.PoolOptions(max_pool_size=size))
    pool.ready()
    blocks = [pool.checkout() for _ in range(size)]
    for block in blocks:
        block.__enter__()
    for block in blocks:
        block.__exit__(None, None, None)
    return Door(pool.checkout, close=pool.close)


PEERS = [Peer("pymongo Pool", _make)]
