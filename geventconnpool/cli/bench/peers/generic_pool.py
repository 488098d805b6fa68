"""generic-connection-pool, its kind for threads, with one endpoint."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

threading_pool: Any = importlib.import_module("generic_connection_pool.threading")


class StubManager(threading_pool.BaseConnectionManager):  # type: ignore[misc]
    def create(self, endpoint: str, timeout: float | None = None) -> object:
        return object()

    def dispose(self, endpoint: str, conn: object, timeout: float | None = None) -> None:
        pass


def _make(size: int) -> Door:
    pool = threading_pool.ConnectionPool(
        StubManager(), min_idle=size, max_size=size, total_max_size=size
    )
    out = [pool.acquire("endpoint") for _ in range(size)]
    for connection in out:
        pool.release(connection, "endpoint")
    return Door(functools.partial(pool.connection, "endpoint"), close=pool.close)


PEERS = [Peer("generic-connection-pool", _make)]
