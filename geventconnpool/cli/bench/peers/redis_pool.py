"""redis-py's BlockingConnectionPool."""

from __future__ import annotations

import importlib
import os
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

redis: Any = importlib.import_module("redis")


class StubConnection:
    """What the pool asks of a connection."""

    def __init__(self, **options: object) -> None:
        self.pid = os.getpid()

    def connect(self) -> None:
        pass

    def disconnect(self) -> None:
        pass

    def can_read(self) -> bool:
        return False

    def should_reconnect(self) -> bool:
        return False

    def re_auth(self) -> None:
        pass


def _make(size: int) -> Door:
    pool = redis.BlockingConnectionPool(size, connection_class=StubConnection)
    for connection in [pool.get_connection() for _ in range(size)]:
        pool.release(connection)
    return Door(pool.get_connection, pool.release, pool.disconnect)


PEERS = [Peer("redis-py BlockingConnectionPool", _make, most_waiting=1_000)]
