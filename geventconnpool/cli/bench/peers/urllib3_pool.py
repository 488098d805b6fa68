"""urllib3, which requests uses, too: taking and bringing back, without a request."""

from __future__ import annotations

import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

urllib3: Any = importlib.import_module("urllib3")


class StubConnection:
    is_connected = True

    def __init__(self, **options: object) -> None:
        pass

    def close(self) -> None:
        pass


class StubbedPool(urllib3.HTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = StubConnection


def _make(size: int) -> Door:
    pool = StubbedPool("localhost", maxsize=size, block=True)
    for connection in [pool._get_conn() for _ in range(size)]:
        pool._put_conn(connection)
    return Door(pool._get_conn, pool._put_conn, pool.close)


PEERS = [Peer("urllib3", _make, most_waiting=1_000)]
