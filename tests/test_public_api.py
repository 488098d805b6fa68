"""The names that others rely on. Whoever changes this file changes the contract."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import geventconnpool
from geventconnpool import ConnectionPool, Event, PoolStats, retry

NAMES = {
    "Backoff",
    "CloseReason",
    "ConnectionPool",
    "Event",
    "PoolClosed",
    "PoolError",
    "PoolPaused",
    "PoolStats",
    "PoolTimeout",
    "PoolUnavailable",
    "RetryBudget",
    "TooManyWaiters",
    "WrongHub",
    "retry",
}

OPTIONS = {
    "exc_classes": (OSError,),
    "keepalive": None,
    "min_size": None,
    "connect": None,
    "name": None,
    "timeout": 30.0,
    "max_waiting": None,
    "max_connecting": 32,
    "connect_timeout": 10.0,
    "keepalive_timeout": 5.0,
    "close_timeout": 5.0,
    "idle_timeout": None,
    "max_lifetime": None,
    "check_after": None,
    "order": "lifo",
    "watch_idle": True,
    "backoff": None,
    "fail_fast_after": None,
    "fatal_exc_classes": (),
    "is_broken": None,
    "leak_threshold": None,
    "listeners": (),
    "start": True,
}

MEMBERS = {
    *("get", "acquire", "release", "discard", "detach", "open", "wait_ready", "close", "drain"),
    *("pause", "resume", "check", "resize", "stats", "size", "min_size", "name", "closed"),
}

HOOKS = {
    "_new_connection",
    "_keepalive",
    "_check_connection",
    "_reset_connection",
    "_close_connection",
    "_fileno",
}

STATS = [
    *("size", "min_size", "idle", "active", "connecting", "checking", "closing", "waiting"),
    *("acquires", "acquires_waited", "acquire_timeouts", "acquire_errors", "wait_seconds"),
    *("use_seconds", "connects", "connect_errors", "connect_seconds", "closes", "pings"),
    *("ping_errors", "leaks", "repairs"),
]

EVENT = [
    *("kind", "pool", "connection_id", "reason", "seconds", "error", "stack", "interrupt"),
]


def test_the_package_exports_exactly_the_contract() -> None:
    assert set(geventconnpool.__all__) == NAMES
    assert all(hasattr(geventconnpool, name) for name in NAMES)


def test_the_pool_takes_exactly_the_options_of_the_contract() -> None:
    parameters = dict(inspect.signature(ConnectionPool.__init__).parameters)
    del parameters["self"]
    assert list(parameters)[:3] == ["size", "exc_classes", "keepalive"]
    assert parameters.pop("size").default is inspect.Parameter.empty
    assert {name: each.default for name, each in parameters.items()} == OPTIONS
    by_name = [name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY]
    assert by_name == list(OPTIONS)[2:]


def test_the_pool_has_exactly_the_members_of_the_contract() -> None:
    assert {name for name in vars(ConnectionPool) if not name.startswith("_")} == MEMBERS


def test_internals_of_the_pool_cannot_collide_with_a_subclass() -> None:
    private = {n for n in vars(ConnectionPool) if n.startswith("_") and not n.startswith("__")}
    inherited = {"_is_protocol", "_geventconnpool"}
    assert {n for n in private if not n.startswith("_ConnectionPool__")} - inherited == HOOKS


def test_records_have_the_fields_of_the_contract() -> None:
    assert [each.name for each in dataclasses.fields(PoolStats)] == STATS
    assert [each.name for each in dataclasses.fields(Event)] == EVENT


def test_retry_keeps_the_parameters_of_0_2_1_in_their_order() -> None:
    parameters = list(inspect.signature(retry).parameters)
    assert parameters[1:8] == [
        "exc_classes",
        "logger",
        "retry_log_level",
        "retry_log_message",
        "max_failures",
        "interval",
        "max_failure_log_level",
    ]
    assert set(parameters[8:]) == {
        "max_failure_log_message",
        "deadline",
        "budget",
        "retry_if",
        "on_retry",
    }


def test_names_are_where_0_2_1_had_them() -> None:
    from geventconnpool.pool import ConnectionPool as SamePool
    from geventconnpool.pool import retry as same_retry

    assert (SamePool, same_retry) == (ConnectionPool, retry)


def test_importing_the_package_patches_nothing_and_loads_nothing_heavy() -> None:
    program = (
        "import sys, geventconnpool\n"
        "from gevent import monkey\n"
        "assert not monkey.is_module_patched('socket')\n"
        "heavy = {'ssl', 'requests', 'urllib3', 'rich', 'redis', 'psycopg', 'asyncio'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_is_typed() -> None:
    assert (Path(geventconnpool.__file__).parent / "py.typed").exists()
