"""What ``get()`` returns: the record of a connection, as a context manager for one block.

It is the slot itself, used again for every checkout: a new object each time would cost half
as much again as the whole checkout. A record that ends up in the wrong hands is replaced.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from geventconnpool.core.slot import ACTIVE, IDLE, TAKEN, Slot
from geventconnpool.errors import PoolError

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["Lease"]

C = TypeVar("C")


class Lease(Slot, Generic[C]):
    """A connection taken from a pool, for one ``with`` block.

    .. versionadded:: 1.0
    """

    __slots__ = ("_calm", "_engine")

    def __init__(self, engine: Engine, id: int, now: float) -> None:
        super().__init__(id, now)
        self._engine = engine
        self._calm = engine.calm

    def __enter__(self) -> C:
        if self.state is not TAKEN:
            return self._engine.enter_revoked(self)  # type: ignore[no-any-return]
        try:
            self.state = ACTIVE
            return self.connection  # type: ignore[no-any-return]
        except BaseException:  # Ctrl-C: the block never begins
            self._engine.desk.broken_off(self)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            calm = self._calm
            if not calm.owner._is_owned():
                self._engine.here()
            # On a calm day a clean return is a store and an append. That `since` is the very
            # object `now` says that it was taken on this path, within this tick.
            try:
                if (
                    kind is None
                    and self.since is calm.now
                    and self.plain
                    and self.state is ACTIVE
                    and (self.owner is None or self.owner.fileno() == self.descriptor.fd)
                ):
                    self.state = IDLE
                    calm.put(self)
                    return
            except Exception:  # some that are closed refuse to be asked
                pass
            if self.state is ACTIVE and not self.by_hand:
                self._engine.desk.leave(self, error)
            else:  # it was brought back by hand, detached, or taken away: nothing is left to do
                self._engine.forget_revoked(self)
        except PoolError:  # the wrong thread: nothing has changed
            raise
        except BaseException:
            self._engine.desk.broken_off(self)
            raise

    def __repr__(self) -> str:
        return f"<Lease of connection {self.id}: {self.state.value}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a lease cannot be pickled or copied")
