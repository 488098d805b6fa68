"""SQLAlchemy's QueuePool, without the rollback at each return."""

from __future__ import annotations

import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

pools: Any = importlib.import_module("sqlalchemy.pool")


class StubConnection:
    def close(self) -> None:
        pass


def _make(size: int) -> Door:
    pool = pools.QueuePool(StubConnection, pool_size=size, max_overflow=0, reset_on_return=None)
    out = [pool.connect() for _ in range(size)]
    for connection in out:
        connection.close()
    return Door(pool.connect, type(out[0]).close, pool.dispose)


PEERS = [Peer("SQLAlchemy QueuePool", _make)]
