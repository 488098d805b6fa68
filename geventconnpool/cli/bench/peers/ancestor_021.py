"""What geventconnpool was before."""

from __future__ import annotations

import gevent

from geventconnpool.cli.bench.ancestor import AncestorPool
from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]


def _make(size: int) -> Door:
    pool = AncestorPool(size, between_connects=0)
    while len(pool.idle) < size:
        gevent.sleep(0.001)
    return Door(pool.get)


PEERS = [Peer("geventconnpool 0.2.1", _make)]
