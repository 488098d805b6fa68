"""What is to be done to a scenario, in one line that can be written down and played again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gevent import GreenletExit, Timeout

__all__ = ["ERRORS", "WAYS", "Fault", "Plan"]

ERRORS: Mapping[str, Callable[[str], BaseException]] = MappingProxyType(
    {
        "GreenletExit": GreenletExit,
        "Timeout": lambda text: Timeout(),
        "OSError": OSError,
        "ValueError": ValueError,
        "BaseException": BaseException,
    }
)
"""The kinds of exception that are thrown, by name: a kill, somebody's timeout, an error of the
network, one of the program, and one that nobody has heard of."""

WAYS = ("beside", "instead")
"""``beside``: thrown from the hub before a step, as a kill is; a wake-up that is on its way to the
victim stays there. ``instead``: in place of a switch to the victim, when it was to go on."""


@dataclass(frozen=True)
class Fault:
    """One exception in one greenlet at one point of a run.

    .. versionadded:: 1.0
    """

    way: str
    position: int
    """The step before which it is thrown; for ``instead``, the number of the switch."""
    victim: int
    """The number of the greenlet, see :meth:`Simulation.number`."""
    error: str
    """One of the names in :data:`ERRORS`."""

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise ValueError(f"way must be one of {', '.join(WAYS)} ({self.way!r})")
        if self.error not in ERRORS:
            raise ValueError(f"error must be one of {', '.join(ERRORS)} ({self.error!r})")

    def make_error(self) -> BaseException:
        """A fresh exception to throw."""
        return ERRORS[self.error](f"thrown on purpose: {self}")

    def __str__(self) -> str:
        return f"{self.way}:{self.position}:{self.victim}:{self.error}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The fault that ``str`` made *text* of."""
        way, position, victim, error = text.split(":")
        return cls(way, int(position), int(victim), error)


@dataclass(frozen=True)
class Plan:
    """All that decides how a scenario runs; two runs of one plan are the same.

    .. versionadded:: 1.0
    """

    seed: int = 0
    shuffle: bool = False
    """Whether the order of what is runnable is drawn from the seed."""
    turns: tuple[tuple[int, int], ...] = ()
    """Departures from first in, first out: at which choice, which of the runnable."""
    faults: tuple[Fault, ...] = field(default=())

    def with_fault(self, fault: Fault) -> Plan:
        """The same, and one fault more."""
        return replace(self, faults=(*self.faults, fault))

    def __str__(self) -> str:
        parts = [f"seed={self.seed}"]
        parts += ["shuffle"] if self.shuffle else []
        parts += [f"turn={choice}:{index}" for choice, index in self.turns]
        parts += [f"fault={fault}" for fault in self.faults]
        return " ".join(parts)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """The plan that ``str`` made *text* of."""
        plan = cls()
        for part in text.split():
            name, _, value = part.partition("=")
            if name == "seed":
                plan = replace(plan, seed=int(value))
            elif name == "shuffle":
                plan = replace(plan, shuffle=True)
            elif name == "turn":
                choice, _, index = value.partition(":")
                plan = replace(plan, turns=(*plan.turns, (int(choice), int(index))))
            elif name == "fault":
                plan = plan.with_fault(Fault.parse(value))
            else:
                raise ValueError(f"a plan has no {name!r} ({text!r})")
        return plan
