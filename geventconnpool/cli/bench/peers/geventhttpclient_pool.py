"""geventhttpclient's pool of sockets, its look at whether one is alive left out."""

from __future__ import annotations

import importlib
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

connectionpool: Any = importlib.import_module("geventhttpclient.connectionpool")


class StubSocket:
    def close(self) -> None:
        pass


class StubbedPool(connectionpool.ConnectionPool):  # type: ignore[misc]
    def _create_socket(self) -> StubSocket:
        return StubSocket()

    def _is_socket_alive(self, sock: object) -> bool:
        return True


def _make(size: int) -> Door:
    pool = StubbedPool("localhost", 80, "localhost", 80, size=size)
    for connection in [pool.get_socket() for _ in range(size)]:
        pool.return_socket(connection)
    return Door(pool.get_socket, pool.return_socket, pool.close)


PEERS = [Peer("geventhttpclient", _make)]
