"""A greenlet of the pool at work on one slot. It may be killed at any moment by anybody."""

from __future__ import annotations

from typing import Any

from geventconnpool.core.orders import Order
from geventconnpool.core.slot import Slot

__all__ = ["Job"]


class Job:
    """What a greenlet does for a slot, and whether it still counts."""

    __slots__ = ("began", "greenlet", "how", "reported", "timer")

    def __init__(self, how: Order, began: float, greenlet: Any = None) -> None:
        self.how = how
        self.began = began
        self.greenlet = greenlet
        self.timer: Any = None
        self.reported = False
        """Whether it was said already that it is late."""

    def finish(self, slot: Slot) -> bool:
        """End the job, for whatever reason. False if it had been ended before."""
        if slot.job is not self:
            return False
        slot.job = None
        if self.timer is not None:
            self.timer.stop()
            self.timer.close()
            self.timer = None
        return True
