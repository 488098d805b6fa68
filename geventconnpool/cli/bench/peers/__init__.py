"""The other pools that a gevent program can use, over connections that cost nothing."""

from __future__ import annotations

import importlib

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["Door", "Peer", "installed"]

MODULES = {
    "ancestor_021": "geventconnpool",
    "gevent_classes": "gevent",
    "urllib3_pool": "urllib3",
    "geventhttpclient_pool": "geventhttpclient",
    "dbutils_pool": "DBUtils",
    "redis_pool": "redis",
    "psycopg_pools": "psycopg_pool",
    "sqlalchemy_pool": "SQLAlchemy",
    "httpcore_pool": "httpcore",
    "pymongo_pool": "pymongo",
    "generic_pool": "generic-connection-pool",
}
"""Our modules, and the distributions that they need."""


def installed() -> tuple[list[Peer], list[str]]:
    """Those that are here and work; and of the others, which, and why not."""
    found: list[Peer] = []
    absent: list[str] = []
    for module, distribution in MODULES.items():
        try:
            peers = importlib.import_module(f"{__name__}.{module}").PEERS
        except ImportError as error:
            absent.append(f"{distribution}: cannot be imported ({error})")
            continue
        for peer in peers:
            trouble = _trouble(peer)
            if trouble is None:
                found.append(peer)
            else:
                absent.append(f"{peer.name}: does not work here ({trouble})")
    return found, absent


def _trouble(peer: Peer) -> str | None:
    """What goes wrong with a first checkout, if anything does."""
    try:
        door = peer.make(1)
        taken = door.take()
        if door.bring is None:
            with taken:
                pass
        else:
            door.bring(taken)
        door.close()
    except Exception as error:  # another release of it may lack what our stub relies on
        return f"{type(error).__name__}: {error}"
    return None
