"""Every single fault, every order within bounds: plans that leave nothing out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from geventconnpool.testing.plans import ERRORS, WAYS, Fault, Plan
from geventconnpool.testing.playing import Record, Scenario, play

__all__ = ["random_plan", "schedules", "single_faults"]


def single_faults(
    scenario: Scenario,
    seed: int = 0,
    *,
    errors: Iterable[str] = ERRORS,
    ways: Iterable[str] = WAYS,
) -> Iterator[Plan]:
    """A plan for every step, every greenlet that lives then, every error and every way.

    The scenario is played once to see which there are, up to :meth:`Simulation.calm_down`.

    .. versionadded:: 1.0
    """
    survey = play(scenario, Plan(seed))
    if survey.failure is not None:
        raise survey.failure
    for fault in _all_faults(survey, tuple(errors), tuple(ways)):
        yield survey.plan.with_fault(fault)


def _all_faults(survey: Record, errors: tuple[str, ...], ways: tuple[str, ...]) -> Iterator[Fault]:
    places = {
        "beside": [(step, who) for step, crowd in enumerate(survey.crowds, 1) for who in crowd],
        "instead": list(enumerate(survey.switches, 1)),
    }
    for way in ways:
        for position, victim in places[way]:
            for error in errors:
                yield Fault(way, position, victim, error)


def random_plan(scenario: Scenario, seed: int, faults: int = 3) -> Plan:
    """A random order with so many faults at random points, all drawn from *seed*.

    .. versionadded:: 1.0
    """
    survey = play(scenario, Plan(seed, shuffle=True))
    if survey.failure is not None:
        raise survey.failure
    rng = random.Random(f"{seed}: faults")
    places = _all_faults(survey, tuple(ERRORS), WAYS)
    plan = survey.plan
    for fault in rng.sample(list(places), faults):
        plan = plan.with_fault(fault)
    return plan


def schedules(
    scenario: Scenario, departures: int, seed: int = 0, *, share: int = 0, shares: int = 1
) -> Iterator[Record]:
    """Play every order that departs at most so many times from first in, first out, each once.

    Yields the record of each, the straight one first. Of several *shares* only one is played,
    so that processes can divide the work; the straight one belongs to the first.

    .. versionadded:: 1.0
    """
    straight = play(scenario, Plan(seed))
    if share == 0:
        yield straight
    waiting = list(_departing(straight))[share::shares] if departures > 0 else []
    while waiting:
        record = play(scenario, waiting.pop())
        yield record
        if len(record.plan.turns) < departures:
            waiting.extend(_departing(record))


def _departing(record: Record) -> Iterator[Plan]:
    """The plans that depart once more, later than that of *record*."""
    plan = record.plan
    first = plan.turns[-1][0] + 1 if plan.turns else 0
    for choice in range(first, len(record.choices)):
        for index in range(1, record.choices[choice]):
            yield replace(plan, turns=(*plan.turns, (choice, index)))
