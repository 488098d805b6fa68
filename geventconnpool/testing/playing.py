"""Plays a scenario by a plan: a simulation, the faults, and what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import greenlet
from gevent import Greenlet

from geventconnpool.testing.loop import SimulatedLoop
from geventconnpool.testing.plans import Fault, Plan
from geventconnpool.testing.simulation import Simulation

__all__ = ["Record", "Scenario", "play"]

Scenario = Callable[[Simulation], object]
"""Builds a world in the simulation, lets it live, and raises if something is wrong with it."""


@dataclass
class Record:
    """What happened when a scenario was played.

    .. versionadded:: 1.0
    """

    plan: Plan
    failure: BaseException | None = None
    """What the scenario raised, or what a greenlet died of that nobody threw."""
    steps: int = 0
    seconds: float = 0.0
    """Virtual ones."""
    trace_hash: str = ""
    crowds: list[tuple[int, ...]] = field(default_factory=list)
    """Before each step, the numbers of the greenlets that lived. Kept where nothing is thrown."""
    switches: list[int] = field(default_factory=list)
    """The greenlet that each switch went to, first starts left out."""
    choices: list[int] = field(default_factory=list)
    """How many were runnable whenever there was a choice."""
    struck: list[str] = field(default_factory=list)
    """For each fault that was thrown: the victim, and its stack at that moment."""

    def report(self, scenario: str, command: str) -> str:
        """The story of a failure for humans; *command* and the last line play it again."""
        lines = [f"scenario {scenario}, {self.plan}, {self.steps} steps, trace {self.trace_hash}"]
        lines += self.struck
        if self.failure is not None:
            lines += ["".join(traceback.format_exception(self.failure)).rstrip()]
        return "\n".join([*lines, f"replay: {command} '{scenario} {self.plan}'"])


def play(scenario: Scenario, plan: Plan | None = None) -> Record:
    """Run *scenario* in a simulation of its own, by *plan*.

    Errors end up in the record. What was thrown by the plan may kill greenlets; any other error
    that kills one is a failure.

    .. versionadded:: 1.0
    """
    plan = Plan() if plan is None else plan
    record = Record(plan)
    choose = None if plan.shuffle else _Turns(plan, record)
    with Simulation(plan.seed, shuffle=plan.shuffle, choose=choose) as sim:
        director = _Director(sim, plan, record)
        errors = sim.errors
        try:
            scenario(sim)
        except BaseException as error:
            record.failure = error
        finally:
            sim.calm_down()
            record.steps, record.seconds = sim.steps, sim.now
            record.trace_hash = sim.trace_hash
    unexpected = (e for e in errors if all(e is not thrown for thrown in director.thrown))
    record.failure = record.failure or next(unexpected, None)
    return record


class _Turns:
    """Chooses who is next: the first, except where the plan departs from that."""

    def __init__(self, plan: Plan, record: Record) -> None:
        self._turns = dict(plan.turns)
        self._choices = record.choices

    def __call__(self, count: int) -> int:
        index = self._turns.get(len(self._choices), 0)
        self._choices.append(count)
        return index if index < count else 0


class _Director:
    """Throws the faults of a plan, and takes down where others could be thrown."""

    def __init__(self, sim: Simulation, plan: Plan, record: Record) -> None:
        self.thrown: list[BaseException] = []
        self._sim = sim
        self._record = record
        self._beside = {f.position: f for f in plan.faults if f.way == "beside"}
        self._instead = {f.position: f for f in plan.faults if f.way == "instead"}
        self._is_survey = not plan.faults
        self._begun: WeakSet[Greenlet[..., Any]] = WeakSet()
        self._switches = 0
        if self._is_survey or self._beside:
            sim.inject = self._before_step
        if self._is_survey or self._instead:
            sim.trace_switches(self._at_switch)

    def _before_step(self, loop: SimulatedLoop) -> None:
        if self._is_survey:
            crowd = tuple(self._sim.number(each) for each in self._sim.alive())
            self._record.crowds.append(crowd)
            return
        fault = self._beside.pop(loop.steps, None)
        if fault is None:
            return
        victim = self._sim.find(fault.victim)
        if victim is not None:
            victim.throw(self._strike(fault, victim))

    def _at_switch(self, origin: greenlet.greenlet, target: greenlet.greenlet) -> None:
        """Called in *target*, which goes on with what this raises."""
        if not isinstance(target, Greenlet) or target not in self._sim.greenlets:
            return
        if target not in self._begun:
            self._begun.add(target)  # it begins: there is no switch in it yet that could fail
            return
        self._switches += 1
        if self._is_survey:
            self._record.switches.append(self._sim.number(target))
        fault = self._instead.pop(self._switches, None)
        if fault is not None:
            raise self._strike(fault, target)

    def _strike(self, fault: Fault, victim: Greenlet[..., Any]) -> BaseException:
        """Take down where *victim* stands; return what it is to get."""
        error = fault.make_error()
        self.thrown.append(error)
        self._record.struck.append(
            f"fault {fault} met greenlet {self._sim.describe(victim)}\n{_stack(victim)}".rstrip()
        )
        return error


def _stack(victim: Greenlet[..., Any]) -> str:
    """Where *victim* waits. The frames of whoever is running are not the victim's wait."""
    frame = victim.gr_frame
    if frame is None and greenlet.getcurrent() is victim:
        return "".join(traceback.format_stack()[:-3])
    return "".join(traceback.format_stack(frame)) if frame is not None else "  (not begun)"
