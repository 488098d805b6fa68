"""What is to be closed must not be handed out once more: an oracle that counts uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from geventconnpool.core.books import Books
from geventconnpool.core.slot import Slot

__all__ = ["Generations"]


class Generations:
    """Remembers how often each connection had been used when its end was decided."""

    def __init__(self) -> None:
        self._books: Books | None = None
        self._uses: dict[int, int] = {}

    def end(self, slots: Iterable[Slot]) -> None:
        """*slots* are of the past: they may be brought back, not handed out."""
        for slot in slots:
            self._uses.setdefault(slot.id, slot.uses)

    def look(self, books: Books) -> Iterator[str]:
        """See whose end has been decided since the last look, and who was used after it."""
        if books is not self._books:  # a child begins to count anew
            self._books, self._uses = books, {}
        self._uses = {
            slot.id: self._uses.get(slot.id, slot.uses)
            for slot in books.slots.values()
            if slot.id in self._uses or slot.fate is not None
        }
        for number, uses in self._uses.items():
            slot = books.slots[number]
            if slot.uses > uses:
                self._uses[number] = slot.uses
                yield f"connection {number} is to be closed, and was handed out again"
