"""Thousands of connections at once: as many sockets as the system allows."""

from __future__ import annotations

import resource
from typing import Any

from gevent import socket

from geventconnpool.pool import ConnectionPool

__all__ = ["LoneSocketPool", "allow_descriptors"]

OTHERS = 200
"""Descriptors that a process has besides."""


class LoneSocketPool(ConnectionPool[Any]):
    """Watched sockets with one descriptor each: datagrams need no other end."""

    def _new_connection(self) -> Any:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _keepalive(self, c: Any) -> None:
        pass


def allow_descriptors(count: int) -> None:
    """Let this process have *count* connections open.

    :raises ValueError: the system's own limit is lower.
    """
    wanted = count + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
