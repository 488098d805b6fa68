"""Raises Ctrl-C before any instruction of the package, as a signal handler might."""

from __future__ import annotations

import dis
import importlib
import pkgutil
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gevent import getcurrent

import geventconnpool

__all__ = ["AVAILABLE", "CtrlC", "INSTRUCTIONS", "Interrupter", "Place", "package_codes"]

AVAILABLE = sys.version_info >= (3, 12)
"""Whether this Python can stop before every single instruction."""


class CtrlC(KeyboardInterrupt):
    """What the signal handler raises."""


def _codes(thing: Any, found: set[types.CodeType], seen: set[int]) -> None:
    """The code of every function in a module, a class, a property, a function."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, types.CodeType):
        if "geventconnpool" in thing.co_filename:
            found.add(thing)
        for constant in thing.co_consts:
            if isinstance(constant, types.CodeType):
                _codes(constant, found, seen)
        return
    inside: list[Any] = []
    if isinstance(thing, types.FunctionType):
        inside.append(thing.__code__)
    elif isinstance(thing, staticmethod | classmethod):
        inside.append(thing.__func__)
    elif isinstance(thing, property):
        inside += [thing.fget, thing.fset]
    elif isinstance(thing, type) and thing.__module__.startswith("geventconnpool"):
        inside += vars(thing).values()
    elif hasattr(thing, "_read"):  # the pool's own kind of property
        inside.append(thing._read)
    for each in inside:
        _codes(each, found, seen)


def package_codes() -> set[types.CodeType]:
    """All code of the package that a pool may run."""
    found: set[types.CodeType] = set()
    seen: set[int] = set()
    for module in pkgutil.walk_packages(geventconnpool.__path__, "geventconnpool."):
        if not module.name.startswith(("geventconnpool.testing", "geventconnpool.cli")):
            if module.name.endswith("__main__"):
                continue
            for thing in list(vars(importlib.import_module(module.name)).values()):
                _codes(thing, found, seen)
    return found


@dataclass(frozen=True)
class Place:
    """The instruction before which a run was interrupted."""

    function: str
    instruction: str
    line: int | None

    def __str__(self) -> str:
        return f"{self.instruction} in {self.function}, line {self.line}"


class Instructions:
    """The instructions of functions, and what would catch an exception there."""

    def __init__(self) -> None:
        self._names: dict[types.CodeType, dict[int, str]] = {}
        self._catchers: dict[types.CodeType, list[tuple[int, int, int]]] = {}

    def name(self, code: types.CodeType, offset: int) -> str:
        if code not in self._names:
            self._names[code] = {one.offset: one.opname for one in dis.get_instructions(code)}
        return self._names[code].get(offset, "")

    def catcher(self, code: types.CodeType, offset: int) -> int | None:
        if code not in self._catchers:
            entries: Any = getattr(dis.Bytecode(code), "exception_entries", ())
            self._catchers[code] = [(one.start, one.end, one.target) for one in entries]
        found = [target for start, end, target in self._catchers[code] if start <= offset < end]
        return found[-1] if found else None

    def place(self, code: types.CodeType, offset: int) -> Place:
        lines = [line for start, end, line in code.co_lines() if start <= offset < end]
        return Place(code.co_qualname, self.name(code, offset), lines[0] if lines else None)

    def telling(self, trace: list[tuple[types.CodeType, int]]) -> list[int]:
        """The positions of *trace* that may differ from the one before.

        An instruction that only loads, compares or jumps changes nothing: to be interrupted
        before it or after it is the same, unless something else would catch that.
        """
        found, before = [], None
        for position, (code, offset) in enumerate(trace, start=1):
            catcher = self.catcher(code, offset)
            if before is None or before[:2] != (code, catcher) or _has_effect(before[2]):
                found.append(position)
            before = (code, catcher, self.name(code, offset))
        return found


def _has_effect(instruction: str) -> bool:
    """Whether an instruction may change more than the stack of its function."""
    effects = ("STORE", "DELETE", "CALL", "RESUME", "RETURN", "UNPACK", "RAISE", "ITER", "NEXT")
    return any(effect in instruction for effect in effects) or instruction.startswith(
        ("BEFORE", "WITH", "END", "FOR", "GET", "LIST", "SET", "DICT", "MAP", "BINARY_OP", "YIELD")
    )


INSTRUCTIONS = Instructions()


class Interrupter:
    """Raises before the n-th instruction of whoever acts."""

    def __init__(self, codes: set[types.CodeType]) -> None:
        self._codes = codes
        self.at = 0
        self.trace: list[tuple[types.CodeType, int]] = []
        """What was executed since `arm`."""
        self.place: Place | None = None
        self._is_victim: Callable[[Any], bool] = bool

    def __enter__(self) -> Interrupter:
        monitoring = sys.monitoring
        self._tool = next(n for n in range(6) if monitoring.get_tool(n) is None)
        monitoring.use_tool_id(self._tool, "bytecodes")
        for code in self._codes:
            events = monitoring.events.INSTRUCTION | monitoring.events.PY_START
            monitoring.set_local_events(self._tool, code, events)
        return self

    def __exit__(self, *exc: object) -> None:
        self.disarm()
        for code in self._codes:
            sys.monitoring.set_local_events(self._tool, code, 0)
        sys.monitoring.free_tool_id(self._tool)

    def arm(self, at: int, is_victim: Callable[[Any], bool]) -> None:
        """Raise before the instruction number *at* of those whom *is_victim* tells; 0: never."""
        self.at, self.place, self._is_victim = at, None, is_victim
        self.trace = []
        self._listen(self._instruction)

    def disarm(self) -> None:
        """Do nothing any more."""
        self._listen(None)

    def _listen(self, callback: Any) -> None:
        events = sys.monitoring.events
        for event in (events.INSTRUCTION, events.PY_START):
            sys.monitoring.register_callback(self._tool, event, callback)

    def _instruction(self, code: types.CodeType, offset: int) -> None:
        if not self._is_victim(getcurrent()):
            return
        self.trace.append((code, offset))
        if len(self.trace) == self.at:
            self.disarm()
            self.place = INSTRUCTIONS.place(code, offset)
            raise CtrlC
