"""DBUtils' PooledDB, over a stub of a database module."""

from __future__ import annotations

import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

pooled_db: Any = importlib.import_module("dbutils.pooled_db")


class StubConnection:
    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


class StubDatabase:
    """What PooledDB asks of a database module."""

    threadsafety = 2
    OperationalError = InterfaceError = InternalError = ConnectionError

    @staticmethod
    def connect() -> StubConnection:
        return StubConnection()


def _make(size: int) -> Door:
    pool = pooled_db.PooledDB(
        StubDatabase, mincached=size, maxcached=size, maxconnections=size, blocking=True
    )
    return Door(pool.connection, pooled_db.PooledDedicatedDBConnection.close, pool.close)


PEERS = [Peer("DBUtils PooledDB", _make)]
