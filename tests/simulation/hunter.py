"""Looks for anything wrong with the package that it imports, and stops at the first finding.

Run by `mutation` in a process of its own, with the path to a copy of the package. The quick
looks come first: every life as it is, then where the mutant says that it shows, then every life
in other orders and with faults. All fast tests come last.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lifetimes import LIVES

import geventconnpool
from geventconnpool.testing import Plan, play, single_faults

if TYPE_CHECKING:
    import pytest

ORDERS = (1, 2, 3)
"""The seeds of the orders in which every life is played."""

FAST_TESTS = (
    "tests/core",
    "tests/scenarios",
    "tests/test_retries.py",
    "tests/test_backoff.py",
    "tests/pool",
)
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--assert=plain")  # it is a matter of time
SELECTED = "not slow and not real and not demo"

LIFE_SECONDS = 2.0
"""Processor time for one life, which takes a hundredth of that. More means that it hangs."""
TEST_SECONDS = 15.0
"""The same for one test, which takes half a second at most."""
MEMORY = 4 << 30
"""Bytes. A bug that fills the memory is to hit itself alone."""


class Hunter:
    """Keeps notes, the last of which says how it ended."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._notes = Path(order["notes"])

    def looks(self, layer: str, where: object, limit: float) -> None:
        """Take down what is looked at next; the process ends if that takes too long."""
        self._note(f"looking {layer} {where}")
        signal.setitimer(signal.ITIMER_PROF, limit)

    def end(self, verdict: str, layer: str, clue: object) -> NoReturn:
        """Take down how it ended, and leave."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._note(f"{verdict} {layer} {clue}")
        sys.exit(0)

    def _note(self, line: str) -> None:
        with self._notes.open("a") as notes:
            notes.write(f"{line}\n")

    # -- the looks

    def hunt(self) -> NoReturn:
        """Look everywhere, in the order of what it costs."""
        order = self._order
        self._play("plain", ((name, Plan()) for name in LIVES))
        self._play("named-lives", self._faults(order["lives"]))
        self._run_tests("named-tests", order["tests"], "")
        self._play("orders", ((n, Plan(seed, shuffle=True)) for seed in ORDERS for n in LIVES))
        self._play("faults", self._faults(LIVES))
        if order["all_tests"]:
            self._run_tests("all-tests", FAST_TESTS, SELECTED)
        self.end("missed", "-", "-")

    def _faults(self, lives: Iterable[str]) -> Iterator[tuple[str, Plan]]:
        """So many faults, drawn from all that there are in *lives*."""
        plans = [(name, plan) for name in lives for plan in single_faults(LIVES[name])]
        number = min(self._order["plays"], len(plans))
        return iter(random.Random("faults").sample(plans, number))

    def _play(self, layer: str, runs: Iterable[tuple[str, Plan]]) -> None:
        for name, plan in runs:
            self.looks(layer, f"{name} {plan}", LIFE_SECONDS)
            record = play(LIVES[name], plan)
            if record.failure is not None:
                print(record.report(name, "life"))
                self.end("caught", layer, f"{name} {plan}")

    def _run_tests(self, layer: str, tests: tuple[str, ...], selected: str) -> None:
        if not tests:
            return
        import pytest  # most bugs are found without it, in less time than it takes to load

        self.looks(layer, "the collection of tests", TEST_SECONDS)
        plugin = Plugin(self, layer)
        found = pytest.main([*OPTIONS, "-m", selected, *tests], plugins=[plugin])
        if found == pytest.ExitCode.TESTS_FAILED:
            self.end("caught", layer, plugin.failed)
        if found != pytest.ExitCode.OK:
            sys.exit(f"pytest ended with {found!r}")


class Plugin:
    """Tells the hunter which test is running, and remembers which failed."""

    def __init__(self, hunter: Hunter, layer: str) -> None:
        self._hunter = hunter
        self._layer = layer
        self.failed = ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._hunter.looks(self._layer, nodeid, TEST_SECONDS)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid


def main() -> NoReturn:
    """Hunt as the command line says."""
    order = json.loads(sys.argv[1])
    imported = Path(geventconnpool.__file__).parent
    if imported != Path(order["package"]):
        sys.exit(f"imported {imported}, not {order['package']}")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    Hunter(order).hunt()


if __name__ == "__main__":
    main()
