"""httpcore, which httpx uses: a request that is ready, and an answer without content."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]

httpcore: Any = importlib.import_module("httpcore")


class StubStream:
    """The content of an answer; closing it makes the connection idle."""

    def __init__(self, connection: StubConnection) -> None:
        self.connection = connection

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        self.connection.busy = False


class StubConnection(httpcore.ConnectionInterface):  # type: ignore[misc]
    def __init__(self) -> None:
        self.busy = False

    def handle_request(self, request: object) -> Any:
        if self.busy:
            raise httpcore.ConnectionNotAvailable
        self.busy = True
        return httpcore.Response(200, content=StubStream(self))

    def can_handle_request(self, origin: object) -> bool:
        return True

    def is_available(self) -> bool:
        return not self.busy

    def is_idle(self) -> bool:
        return not self.busy

    def has_expired(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def close(self) -> None:
        pass


class StubbedPool(httpcore.ConnectionPool):  # type: ignore[misc]
    def create_connection(self, origin: object) -> StubConnection:
        return StubConnection()


def _make(size: int) -> Door:
    pool = StubbedPool(max_connections=size, max_keepalive_connections=size)
    request = httpcore.Request("GET", "http://localhost/")
    take = functools.partial(pool.handle_request, request)
    for answer in [take() for _ in range(size)]:
        answer.close()
    return Door(take, httpcore.Response.close, pool.close)


PEERS = [Peer("httpcore", _make, most_waiting=50)]
