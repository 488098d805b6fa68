"""Single faults: the enumeration itself, what it touches, and that it sees a broken pool."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from enumeration import enumerate_faults
from lifetimes import LIVES, line
from tally import REPLAY

import geventconnpool
from geventconnpool.core.state import PoolState
from geventconnpool.testing import Plan, Record, Simulation, play, single_faults

PACKAGE = Path(geventconnpool.__file__).parent
ROOT = PACKAGE.parent

SWITCH_POINTS = {
    "desk._take",
    "engine.wait_for_change",
    "maintenance.filling._describe",
    "maintenance.hooks.bounded",
    "maintenance.retirement.close",
    "retries.run",
    "retries.wrapper",
}
"""Functions of the package in which a greenlet can be parked: by itself, or in a hook it calls."""


@pytest.mark.parametrize("name", LIVES)
def test_a_life_without_faults_is_in_order(name: str) -> None:
    assert play(LIVES[name]).failure is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["line", "plainly"])
def test_a_life_survives_every_single_fault(name: str) -> None:
    tally = enumerate_faults(name)
    assert tally.failures == []
    assert tally.counts["runs"] > 300


def test_the_same_plan_gives_the_same_run() -> None:
    plan = Plan.parse("seed=3 fault=beside:20:4:Timeout")
    one, other = play(LIVES["draining"], plan), play(LIVES["draining"], plan)
    assert one.struck == other.struck != []
    assert one.trace_hash == other.trace_hash
    assert one.trace_hash != play(LIVES["draining"], Plan(3)).trace_hash


class TestEverySwitchPoint:
    """The lives together park greenlets wherever the package can."""

    def test_is_touched(self) -> None:
        touched = {place for life in LIVES.values() for place in parked_in(life)}
        assert {place for place in SWITCH_POINTS if place not in touched} == set()

    def test_is_known(self) -> None:
        """Whatever waits by itself is in the list; hooks are called from the other places."""
        waits = {
            f"{module_of(path)}.{function.name}"
            for path in PACKAGE.rglob("*.py")
            if not {"cli", "testing"} & {*path.relative_to(PACKAGE).parts}
            for function in ast.walk(ast.parse(path.read_text()))
            if isinstance(function, ast.FunctionDef) and any(map(is_wait, ast.walk(function)))
        }
        outer = {"retries._bare"}  # has the wrapper inside
        assert waits - outer <= SWITCH_POINTS


def parked_in(life: Any) -> set[str]:
    """Functions of the package in which some greenlet waited during *life*."""
    places: set[str] = set()
    with Simulation() as sim:
        sim.observe(lambda: places.update(*(frames_of(g.gr_frame) for g in sim.alive())))
        life(sim)
    return places


def frames_of(frame: FrameType | None) -> set[str]:
    found = set()
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            found.add(f"{module_of(path)}.{frame.f_code.co_name}")
        frame = frame.f_back
    return found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def is_wait(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name in ("switch", "wait", "sleep", "joinall")


class TestBrokenPool:
    """A pool in which who is interrupted with a connection in hand does not pass it on."""

    @pytest.fixture
    def failure(self, monkeypatch: pytest.MonkeyPatch) -> Record:
        def leave(self: PoolState, waiter: Any, now: float) -> None:
            if waiter.waiting:
                self.line.leave(waiter)

        monkeypatch.setattr(PoolState, "leave", leave)
        return next(record for plan in single_faults(line) if (record := play(line, plan)).failure)

    def test_is_found(self, failure: Record) -> None:
        assert "taken and has arrived nowhere" in str(failure.failure)

    def test_the_report_says_it_all(self, failure: Record) -> None:
        fault = failure.plan.faults[0]
        report = failure.report("line", REPLAY)
        assert f"scenario line, {failure.plan}" in report
        assert f"fault {fault} met greenlet {fault.victim}" in report
        assert "desk.py" in report
        assert report.splitlines()[-1] == f"replay: {REPLAY} 'line {failure.plan}'"

    def test_the_last_line_replays_it(self, failure: Record) -> None:
        replayed = play(line, Plan.parse(str(failure.plan)))
        assert replayed.trace_hash == failure.trace_hash
        assert str(replayed.failure) == str(failure.failure)


@pytest.mark.real
class TestCommand:
    def test_replays_a_line(self) -> None:
        done = run("--replay", "line seed=0 fault=beside:10:2:GreenletExit")
        assert done.returncode == 0
        assert "fault beside:10:2:GreenletExit met greenlet 2" in done.stdout
        assert done.stdout.endswith("all is well\n")

    def test_says_what_a_line_must_be(self) -> None:
        done = run("--replay", "line seed=0 fault=beside:10:2:Nonsense")
        assert done.returncode != 0
        assert "error must be one of" in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
