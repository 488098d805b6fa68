"""What ``get()`` returns: a context manager for one block, kept with its slot and used again.

A new object for every checkout would cost half as much again as the checkout.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from gevent import monkey

from geventconnpool.core.slot import ACTIVE, IDLE, Slot
from geventconnpool.errors import PoolError

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["Lease", "get_ident"]

C = TypeVar("C")

get_ident = monkey.get_original("_thread", "get_ident")
"""The identity of the native thread, whatever is patched."""


class Lease(Generic[C]):
    """A connection taken from a pool, for one ``with`` block.

    .. versionadded:: 1.0
    """

    __slots__ = ("_engine", "_state", "entered", "slot")

    def __init__(self, engine: Engine, slot: Slot) -> None:
        self._engine = engine
        self._state = engine.state
        self.slot: Slot | None = slot
        self.entered = False

    def __enter__(self) -> C:
        slot = self.slot
        if self.entered or slot is None or slot.state is not ACTIVE:
            raise self._engine.misuse("this lease was used already, or taken back unused")
        self.entered = True
        return slot.connection  # type: ignore[no-any-return]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        slot = self.slot
        state = self._state
        # A clean return to a calm pool within the tick is two stores and an append. That
        # `since` is the very object `now` says that no tick has passed.
        if (
            kind is None
            and state.calm
            and slot is not None
            and slot.plain
            and slot.since is state.now
            and slot.state is ACTIVE
            and get_ident() == self._engine.thread
            and (slot.fileno is None or slot.fileno() == slot.descriptor.fd)
        ):
            self.entered = False
            slot.state = IDLE
            state.books.shelf.append(slot)
        else:
            self._engine.desk.leave(self, error)

    def __repr__(self) -> str:
        return f"<Lease of {self.slot!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise PoolError("a lease cannot be pickled or copied")
