"""Every single fault, every order within bounds: plans that leave nothing out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from geventconnpool.testing.plans import ERRORS, WAYS, Fault, Plan
from geventconnpool.testing.playing import Record, Scenario, play

__all__ = ["random_plans", "schedules", "single_faults"]


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


def random_plans(survey: Record, count: int, faults: int = 3) -> Iterator[Plan]:
    """The order of *survey* with so many faults at random points; *count* such plans.

    All is drawn from the seed of *survey*, a run without faults:
    ``play(scenario, Plan(seed, shuffle=True))``. One fault at most comes in place of a switch:
    whoever traces switches can raise but once.

    .. versionadded:: 1.0
    """
    if survey.failure is not None:
        raise survey.failure
    rng = random.Random(f"{survey.plan.seed}: faults")
    for _ in range(count):
        plan = survey.plan.with_fault(rng.choice([_any_beside, _any_instead])(rng, survey))
        for _ in range(faults - 1):
            plan = plan.with_fault(_any_beside(rng, survey))
        yield plan


def _any_beside(rng: random.Random, survey: Record) -> Fault:
    """Something thrown from the hub, at any step at which anybody lives."""
    steps = [step for step, crowd in enumerate(survey.crowds, 1) if crowd]
    step = rng.choice(steps)
    victim = rng.choice(survey.crowds[step - 1])
    return Fault("beside", step, victim, rng.choice(list(ERRORS)))


def _any_instead(rng: random.Random, survey: Record) -> Fault:
    """Something raised in place of any switch."""
    switch = rng.randrange(len(survey.switches))
    victim = survey.switches[switch]
    return Fault("instead", switch + 1, victim, rng.choice(list(ERRORS)))


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
