"""Every knob of a pool with its default and its check. What a knob does is decided elsewhere.

The checks serve the rest of the package too: whoever takes a number, a callable or
exception classes from a user refuses the wrong ones here, in the same words.
"""

from __future__ import annotations

import difflib
import enum
import logging
import math
import numbers
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, NoReturn, TypeVar

from geventconnpool.events import Event

__all__ = [
    "NOT_GIVEN",
    "NotGiven",
    "PoolOptions",
    "by",
    "check_callable",
    "check_count",
    "check_exc_classes",
    "check_level",
    "check_message",
    "check_number",
    "check_sizes",
    "check_timeout",
    "checked_fields",
    "optional",
    "refuse",
    "shown",
]

T = TypeVar("T")
Check = Callable[[str, Any], T]


class NotGiven(enum.Enum):
    """The type of :data:`NOT_GIVEN`; an enum, so that it stays one object when copied."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
"""Stands for an argument that was left out, where ``None`` means something."""


def shown(value: object) -> str:
    """*value* as error messages show it: short, on any object."""
    try:
        text = repr(value)
    except Exception:
        # A repr that fails (an int of 5,000 digits is enough) must not hide the mistake.
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def refuse(kind: type[Exception], name: str, wanted: str, value: object) -> NoReturn:
    """Raise *kind* saying what the option *name* must be, and what it was."""
    raise kind(f"{name} must be {wanted} ({shown(value)})")


# --- checks of one value -----------------------------------------------------------------


def _real(name: str, value: object, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        refuse(TypeError, name, wanted, value)
    number: Any = value
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def check_number(
    name: str, value: object, least: float = 0.0, *, above: bool = False, or_none: bool = False
) -> float:
    """*value* as a finite float of at least *least* (*above*: more than that)."""
    bound = f"above {least:g}" if above else f"of at least {least:g}"
    wanted = f"{'None or ' if or_none else ''}a finite number {bound}"
    number = _real(name, value, wanted)
    if not (least < number < math.inf or (number == least and not above)):
        refuse(ValueError, name, wanted, value)
    return number


def check_count(name: str, value: object, least: int = 0, *, or_none: bool = False) -> int:
    """*value* as an int of at least *least*."""
    wanted = f"{'None or ' if or_none else ''}an int of at least {least}"
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(TypeError, name, wanted, value)
    if value < least:
        refuse(ValueError, name, wanted, value)
    return value


def check_callable(name: str, value: Any, *, or_none: bool = False) -> Callable[..., Any]:
    """*value* if it can be called."""
    if not callable(value):
        refuse(TypeError, name, "None or a callable" if or_none else "a callable", value)
    return value  # type: ignore[no-any-return]


def check_exc_classes(name: str, value: Any, *, may_be_empty: bool = False) -> tuple[Any, ...]:
    """*value*, one exception class or an iterable of them, as a tuple."""
    wanted = "an exception class or an iterable of them"
    if isinstance(value, (type, str)) or not isinstance(value, Iterable):
        value = (value,)
    classes = tuple(value)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            refuse(TypeError, name, wanted, each)
    if not classes and not may_be_empty:
        refuse(ValueError, name, f"{wanted}, at least one", classes)
    return classes


def check_level(name: str, value: Any) -> int:
    """*value*, a log level or the name of one, as a number."""
    wanted = "a log level or the name of one"
    level = logging.getLevelName(value.upper()) if isinstance(value, str) else value
    if isinstance(level, bool) or not isinstance(level, int):
        refuse(ValueError if isinstance(value, str) else TypeError, name, wanted, value)
    return check_count(name, level)


def check_message(name: str, value: object, known: tuple[str, ...]) -> str:
    """*value*, a text for ``str.format`` with no fields but the *known* ones."""
    wanted = "a format string with no fields but " + " and ".join(f"{{{k}}}" for k in known)
    if not isinstance(value, str):
        refuse(TypeError, name, wanted, value)
    try:
        used = [each for _, each, _, _ in string.Formatter().parse(value) if each is not None]
    except ValueError:
        refuse(ValueError, name, wanted, value)
    if not {re.split(r"[.\[]", each)[0] for each in used} <= set(known):
        refuse(ValueError, name, wanted, value)
    return value


def check_timeout(timeout: float | None, name: str = "timeout") -> float | None:
    """How long a call may wait: ``None`` is for ever, ``0.0`` not at all.

    Less than 0 means 0, an infinite time ``None``.
    """
    if timeout is None:
        return None
    wanted = "None or a number of seconds"
    seconds = timeout if type(timeout) is float else _real(name, timeout, wanted)
    if math.isnan(seconds):
        refuse(ValueError, name, wanted, timeout)
    return None if seconds == math.inf else max(seconds, 0.0)


def check_sizes(size: int, min_size: int) -> None:
    """Refuse a pair of sizes that no pool can have."""
    check_count("size", size, 1)
    if isinstance(min_size, bool) or not isinstance(min_size, int):
        refuse(TypeError, "min_size", "an int between 0 and size", min_size)
    if not 0 <= min_size <= size:
        odd = f"{shown(min_size)} < 0" if min_size < 0 else f"{shown(min_size)} > {shown(size)}"
        raise ValueError(f"min_size must be between 0 and size ({odd})")


# --- records whose fields carry their checks ---------------------------------------------


def by(check: Check[Any]) -> dict[str, Check[Any]]:
    """The metadata of a dataclass field whose values from users *check* looks at."""
    return {"check": check}


def optional(check: Check[T]) -> Check[T | None]:
    """*check* for an option that may be ``None``, too; its message says so."""

    def none_or_checked(name: str, value: Any) -> T | None:
        return None if value is None else check(name, value, or_none=True)  # type: ignore[call-arg]

    return none_or_checked


def checked_fields(record: type, given: Mapping[str, object]) -> dict[str, Any]:
    """What was *given* for fields of the dataclass *record*, after each field's check."""
    checks = {each.name: each.metadata["check"] for each in fields(record) if each.metadata}
    for name in given:
        if name not in checks:
            near = difflib.get_close_matches(name, checks, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"there is no option {name!r}{hint}")
    return {name: checks[name](name, value) for name, value in given.items()}


# --- the options of a pool ---------------------------------------------------------------


def _at_least_one(name: str, value: object, *, or_none: bool = False) -> int:
    return check_count(name, value, 1, or_none=or_none)


def _duration(name: str, value: object, *, or_none: bool = False) -> float:
    return check_number(name, value, above=True, or_none=or_none)


def _timeout(name: str, value: float | None) -> float | None:
    timeout = check_timeout(value, name)
    if value is not None and value < 0:  # a call may ask so, with what is left of its time
        refuse(ValueError, name, "None or a number of seconds of at least 0", value)
    return timeout


def _name(name: str, value: object, *, or_none: bool = False) -> str:
    wanted = "None or a string that is not empty"
    if not isinstance(value, str):
        refuse(TypeError, name, wanted, value)
    if not value:
        refuse(ValueError, name, wanted, value)
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        refuse(TypeError, name, "True or False", value)
    return value


def _order(name: str, value: object) -> str:
    wanted = "'lifo' or 'fifo'"
    if not isinstance(value, str):
        refuse(TypeError, name, wanted, value)
    if value not in ("lifo", "fifo"):
        refuse(ValueError, name, wanted, value)
    return value


def _watching(name: str, value: object) -> bool | str:
    wanted = "True, False or 'closed'"
    if not isinstance(value, (bool, str)):
        refuse(TypeError, name, wanted, value)
    if isinstance(value, str) and value != "closed":
        refuse(ValueError, name, wanted, value)
    return value


def _backoff(name: str, value: Any, *, or_none: bool = False) -> object:
    # Known by what it can do: Backoff itself lives in a layer below this one.
    if isinstance(value, type) or not callable(getattr(value, "delay", None)):
        refuse(TypeError, name, "None or a Backoff, with delay(failures) and cap", value)
    check_number(f"{name}.cap", getattr(value, "cap", None))
    return value


def _fatal_classes(name: str, value: Any) -> tuple[Any, ...]:
    classes = check_exc_classes(name, value, may_be_empty=True)
    return classes if NotImplementedError in classes else (*classes, NotImplementedError)


def _listeners(name: str, value: Any) -> tuple[Any, ...]:
    if callable(value):
        refuse(TypeError, name, "a list of callables, also for a single one", value)
    if not isinstance(value, Iterable):
        refuse(TypeError, name, "a list of callables", value)
    return tuple(check_callable(f"{name}[{n}]", each) for n, each in enumerate(value))


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """What a pool was told to be, after checking. :meth:`checked` makes one.

    Durations are seconds. Callables stay out of the ``repr``: one made with
    ``functools.partial`` may hold a password.

    .. versionadded:: 1.0
    """

    size: int = field(metadata=by(_at_least_one))
    exc_classes: tuple[type[BaseException], ...] = field(
        default=(OSError,), metadata=by(check_exc_classes)
    )
    keepalive: float | None = field(default=None, metadata=by(optional(_duration)))
    min_size: int
    """As given, else the same as ``size``."""
    min_size_given: bool = False
    connect: Callable[[], Any] | None = field(
        default=None, repr=False, metadata=by(optional(check_callable))
    )
    name: str | None = field(default=None, metadata=by(optional(_name)))
    timeout: float | None = field(default=30.0, metadata=by(_timeout))
    """How long an acquire may wait: ``None`` is for ever, ``0.0`` not at all."""
    max_waiting: int | None = field(default=None, metadata=by(optional(check_count)))
    max_connecting: int = field(default=32, metadata=by(_at_least_one))
    connect_timeout: float = field(default=10.0, metadata=by(_duration))
    keepalive_timeout: float = field(default=5.0, metadata=by(_duration))
    close_timeout: float = field(default=5.0, metadata=by(_duration))
    idle_timeout: float | None = field(default=None, metadata=by(optional(_duration)))
    max_lifetime: float | None = field(default=None, metadata=by(optional(_duration)))
    check_after: float | None = field(default=None, metadata=by(optional(check_number)))
    order: Literal["lifo", "fifo"] = field(default="lifo", metadata=by(_order))
    watch_idle: bool | Literal["closed"] = field(default=True, metadata=by(_watching))
    backoff: object | None = field(default=None, metadata=by(optional(_backoff)))
    """``None`` stands for the default, ``Backoff()``."""
    fail_fast_after: float | None = field(default=None, metadata=by(optional(check_number)))
    fatal_exc_classes: tuple[type[BaseException], ...] = field(
        default=(NotImplementedError,), metadata=by(_fatal_classes)
    )
    """``NotImplementedError`` is always one of them."""
    is_broken: Callable[[Any, BaseException], bool] | None = field(
        default=None, repr=False, metadata=by(optional(check_callable))
    )
    leak_threshold: float | None = field(default=None, metadata=by(optional(_duration)))
    listeners: tuple[Callable[[Event], object], ...] = field(
        default=(), repr=False, metadata=by(_listeners)
    )
    start: bool = field(default=True, metadata=by(_flag))

    @classmethod
    def checked(
        cls,
        size: int,
        exc_classes: object = (OSError,),
        keepalive: float | None = None,
        **options: Any,
    ) -> PoolOptions:
        """The options of a pool from what its constructor was given.

        *options* are the others by name; one that is left out has its default.
        ``min_size`` counts as left out when it is ``None``, too.

        :raises TypeError: something is of the wrong type, or there is no such option
        :raises ValueError: something is out of range
        """
        least = options.pop("min_size", NOT_GIVEN)
        given = least is not NOT_GIVEN and least is not None
        values = checked_fields(
            cls, {"size": size, "exc_classes": exc_classes, "keepalive": keepalive, **options}
        )
        check_sizes(size, least if given else size)
        return cls(**values, min_size=least if given else size, min_size_given=given)

    @property
    def useless_idle_timeout(self) -> bool:
        """Whether ``idle_timeout`` can do nothing, because ``min_size`` is ``size``."""
        return self.idle_timeout is not None and self.min_size == self.size
