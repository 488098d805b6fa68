"""psycopg_pool, through both of its doors."""

from __future__ import annotations

import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

psycopg: Any = importlib.import_module("psycopg")
psycopg_pool: Any = importlib.import_module("psycopg_pool")


class StubHandle:
    transaction_status = psycopg.pq.TransactionStatus.IDLE


class StubConnection:
    """What the pool asks of a connection."""

    pgconn = StubHandle()
    _pool: Any = None
    _created_at = _expire_at = 0.0

    @classmethod
    def connect(cls, conninfo: str, **options: object) -> StubConnection:
        return cls()

    def close(self) -> None:
        pass

    def __enter__(self) -> StubConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def _pool(size: int) -> Any:
    pool = psycopg_pool.ConnectionPool(
        "", connection_class=StubConnection, min_size=size, max_size=size, open=True
    )
    pool.wait()
    return pool


def _by_hand(size: int) -> Door:
    pool = _pool(size)
    return Door(pool.getconn, pool.putconn, pool.close)


def _with_block(size: int) -> Door:
    pool = _pool(size)
    return Door(pool.connection, close=pool.close)


PEERS = [
    Peer("psycopg_pool getconn()", _by_hand),
    Peer("psycopg_pool connection()", _with_block),
]
