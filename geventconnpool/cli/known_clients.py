"""Client libraries and what is known of each under gevent. Looks, but never imports one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["KNOWN", "KnownClient"]

_PATCHED = "cooperative once patched"
_OWN_POOL = "cooperative once patched; brings a pool of its own"
_MULTIPLEXED = "one connection serves all; cooperative once patched"


def _never() -> bool:
    return False


def _always() -> bool:
    return True


def _psycopg2_blocks() -> bool:
    extensions = sys.modules.get("psycopg2.extensions")
    return extensions is not None and extensions.get_wait_callback() is None


def _psycopg_blocks() -> bool:
    waiting = sys.modules.get("psycopg.waiting")
    return waiting is not None and getattr(waiting.wait, "__name__", "") == "wait_c"


def _grpc_blocks() -> bool:
    cygrpc = sys.modules.get("grpc._cython.cygrpc")
    return cygrpc is not None and not getattr(cygrpc, "g_gevent_activated", False)


def _zmq_blocks() -> bool:
    return "zmq.green" not in sys.modules


@dataclass(frozen=True)
class KnownClient:
    """One library."""

    module: str
    distributions: tuple[str, ...] = ()
    """Names to install it by; none where it comes with Python."""
    advice: str = _PATCHED
    blocks: Callable[[], bool] = _never
    """Whether it blocks all greenlets although gevent has patched; asked once it is imported."""
    needs_patching: bool = True


KNOWN: tuple[KnownClient, ...] = (
    KnownClient("http.client"),
    KnownClient("smtplib"),
    KnownClient("imaplib"),
    KnownClient("ftplib"),
    KnownClient("redis", ("redis",), _OWN_POOL),
    KnownClient("psycopg", ("psycopg",), "must be imported after patching", _psycopg_blocks),
    KnownClient(
        "psycopg2",
        ("psycopg2", "psycopg2-binary"),
        "needs psycogreen.gevent.patch_psycopg()",
        _psycopg2_blocks,
    ),
    KnownClient("pymysql", ("PyMySQL",)),
    KnownClient(
        "MySQLdb",
        ("mysqlclient",),
        "never waits cooperatively: call it in gevent.get_hub().threadpool, or use PyMySQL",
        _always,
    ),
    KnownClient("pika", ("pika",)),
    KnownClient("amqp", ("amqp",)),
    KnownClient("kombu", ("kombu",), _OWN_POOL),
    KnownClient("pymemcache", ("pymemcache",)),
    KnownClient("urllib3", ("urllib3",), _OWN_POOL),
    KnownClient(
        "requests",
        ("requests",),
        "cooperative once patched; a Session throws away the sockets beyond its pool_maxsize",
    ),
    KnownClient(
        "geventhttpclient",
        ("geventhttpclient",),
        "cooperative, patched or not",
        needs_patching=False,
    ),
    KnownClient("ldap3", ("ldap3",)),
    KnownClient("paho.mqtt", ("paho-mqtt",), _MULTIPLEXED),
    KnownClient("paramiko", ("paramiko",)),
    KnownClient("websocket", ("websocket-client",)),
    KnownClient(
        "grpc",
        ("grpcio",),
        "needs grpc.experimental.gevent.init_gevent()",
        _grpc_blocks,
    ),
    KnownClient("zmq", ("pyzmq",), "import zmq.green in place of zmq", _zmq_blocks),
    KnownClient("boto3", ("boto3",), _OWN_POOL),
    KnownClient("botocore", ("botocore",), _OWN_POOL),
    KnownClient("pymongo", ("pymongo",), _OWN_POOL),
)
