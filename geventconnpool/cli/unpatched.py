"""Who holds what gevent has since replaced: the trace that a too early import leaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

from gevent import monkey

__all__ = ["holdings", "ssl_came_first"]

# These keep originals on purpose: Python's own modules, gevent, and this package.
_EXEMPT = frozenset(sys.stdlib_module_names) | {"gevent", "geventconnpool", "greenlet"}


def holdings() -> dict[str, list[str]]:
    """For each module that holds unpatched objects, which: ``{"redis.retry": ["time.sleep"]}``."""
    originals = dict(_originals())
    found: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _EXEMPT or not isinstance(module, ModuleType):
            continue
        held = {what for value in list(vars(module).values()) for what in _held(value, originals)}
        if held:
            found[name] = sorted(held)
    return found


def ssl_came_first() -> bool:
    """Whether ``ssl`` was imported before ``socket`` was patched."""
    module = sys.modules.get("ssl")
    if module is None or not monkey.is_object_patched("socket", "socket"):
        return False
    return getattr(module, "socket", None) is monkey.get_original("socket", "socket")


def _originals() -> Iterator[tuple[int, str]]:
    """What gevent replaced, by identity: ``==`` of a black box is not to be trusted."""
    saved: dict[str, dict[str, object]] = vars(monkey)["saved"]  # which the stubs leave out
    for module_name, attributes in saved.items():
        module = sys.modules.get(module_name)
        for name, original in attributes.items() if isinstance(module, ModuleType) else ():
            if callable(original) and getattr(module, name, None) is not original:
                yield id(original), f"{module_name}.{name}"


def _held(value: object, originals: dict[int, str]) -> Iterator[str]:
    if id(value) in originals:
        yield originals[id(value)]
    elif isinstance(value, type) and not _is_exempt(value):
        # A class built on an unpatched one. gevent's own are, too, and wait as they should.
        bases = type.mro(value)[1:]
        if not any(_top_of(base) == "gevent" for base in bases):
            yield from (originals[id(base)] for base in bases if id(base) in originals)


def _top_of(cls: type) -> str:
    return str(cls.__module__).partition(".")[0]


def _is_exempt(cls: type) -> bool:
    return _top_of(cls) in _EXEMPT
