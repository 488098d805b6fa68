"""What every test gets: a patched process on demand, a simulation, and a search for leftovers.

``GEVENTCONNPOOL_TEST_PATCHED=1`` runs the suite in a monkey-patched process. Patching comes
first, before anything has got hold of what it replaces.
"""

from __future__ import annotations

import os

if os.environ.get("GEVENTCONNPOOL_TEST_PATCHED") == "1":
    from gevent import monkey

    monkey.patch_all()

import gc
import platform
import time
from collections.abc import Generator, Iterator
from typing import Any
from weakref import WeakSet

import gevent
import greenlet
import pytest
from gevent import Greenlet
from gevent.monkey import is_module_patched

from geventconnpool.testing import SimulatedLoop, Simulation

MARKERS = (
    "slow: goes through very many cases; the quick run leaves it out",
    "simulation(seed=0, shuffle=False, ...): the options of the Simulation in the fixture sim",
    "expects_errors: greenlets of the simulation may die of errors",
    "demo: runs the demo for real seconds",
    "real: uses real sockets, or starts processes of its own",
    "servers: needs a server, a client library or rights that a bare machine may not have",
    "leaves_greenlets: greenlets of the real hub may outlive the test",
)

REAL = {"sockets", "processes", "cli", "test_documentation", "hosts", "real", "security"}
"""Folders and files whose tests use real sockets, or start processes of their own."""

SERVERS = {"hosts", "test_real_redis", "test_real_postgres", "test_real_namespaces"}
"""Those that need more than Python and the extra ``test``."""

SLOW = {"simulation"}
"""Where even the short forms go through very many cases."""

PATIENCE = 1.0
"""How many real seconds the greenlets of a test get to end after it."""


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        places = {*item.path.parts, item.path.stem}
        if REAL & places:
            item.add_marker("real")
        if SERVERS & places:
            item.add_marker("servers")
        if SLOW & places:
            item.add_marker("slow")


def pytest_report_header() -> str:
    patched = "monkey-patched" if is_module_patched("socket") else "not patched"
    return (
        f"gevent {gevent.__version__}, greenlet {greenlet.__version__}, "
        f"{platform.python_implementation()} {platform.python_version()}, {patched}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the simulation of a failed test: its seed replays it."""
    report = yield
    simulation = getattr(item, "funcargs", {}).get("sim")
    if report.failed and isinstance(simulation, Simulation):
        report.sections.append(("simulation", "\n".join(_picture(simulation))))
    return report


def _picture(simulation: Simulation) -> list[str]:
    return [repr(simulation), f"trace {simulation.trace_hash}", *simulation.loop.debug()]


@pytest.fixture(autouse=True)
def no_greenlets_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves greenlets behind on the real hub."""
    newcomers: WeakSet[Greenlet[..., Any]] = WeakSet()

    def spawned(newcomer: Greenlet[..., Any]) -> None:
        if not isinstance(newcomer.loop, SimulatedLoop) and newcomer.loop is gevent.get_hub().loop:
            newcomers.add(newcomer)

    Greenlet.add_spawn_callback(spawned)
    try:
        yield
    finally:
        Greenlet.remove_spawn_callback(spawned)
    left = _wait_for(newcomers)
    gevent.killall(left, block=False)
    if left and request.node.get_closest_marker("leaves_greenlets") is None:
        pytest.fail(f"left behind: {left}", pytrace=False)


def _wait_for(newcomers: WeakSet[Greenlet[..., Any]]) -> list[Greenlet[..., Any]]:
    """Those that do not end within bounded time."""
    deadline = time.monotonic() + PATIENCE
    while left := [someone for someone in newcomers if not someone.ready()]:
        if time.monotonic() >= deadline:
            break
        gevent.sleep(0.001)
    return left


@pytest.fixture
def sim(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """A simulation around the test. An error in one of its greenlets fails the test."""
    marker = request.node.get_closest_marker("simulation")
    with Simulation(**(marker.kwargs if marker else {})) as simulation:
        errors = simulation.errors
        yield simulation
    if errors and request.node.get_closest_marker("expects_errors") is None:
        pytest.fail(simulation.report(), pytrace=False)


def pytest_collection_finish() -> None:
    # Thousands of collected items would be looked through at every collection of garbage.
    gc.collect()
    gc.freeze()
