"""How fast to connect: a slow start while it works, one backoff for the pool while it does not.

The start resembles TCP's: a few connects at once, two more for each that succeeds, so that
a peer which can take it is reached at full speed within a few round trips, and one that
cannot is not met by everybody at once.
"""

from __future__ import annotations

import math

__all__ = ["FIRST_CONNECTS", "Pacer"]

FIRST_CONNECTS = 4
"""So many connects begin at once when nothing is known of the peer yet."""


class Pacer:
    """Says how many more connects may begin now, and remembers how they went."""

    def __init__(self, max_connecting: int) -> None:
        self._most = max_connecting
        self.window = min(FIRST_CONNECTS, max_connecting)
        self.failures = 0
        """Failed rounds since a connection last proved itself."""
        self.failed_at = -math.inf
        self._round = 0
        """The newest attempt that was under way when it failed last."""
        self.resume_at = -math.inf
        """No attempt begins before this."""
        self.is_pausing = False
        """Whether somebody is to be woken then."""
        self.down_since: float | None = None
        """When connects began to fail, if none has succeeded since."""
        self.error: BaseException | None = None
        """What the last attempt failed with, if none has succeeded since."""
        self.error_at = -math.inf
        self.fatal = False
        """Whether that was an error which will not heal by itself."""

    def allowance(self, now: float, connecting: int, unproven: int) -> int:
        """How many more connects may begin, with so many under way and not yet proven."""
        if now < self.resume_at:
            return 0
        self.is_pausing = False
        if self.failures:
            # A peer that accepts and hangs up would be stormed if a connect that merely
            # succeeded opened the gates: one at a time until one has proved itself.
            return max(0, 1 - connecting - unproven)
        return max(0, self.window - connecting)

    def succeeded(self) -> None:
        """A connect succeeded. That ends an outage, but not yet the backoff."""
        self.window = min(self.window + 1, self._most)
        self.down_since = None
        self.error = None
        self.fatal = False

    def rest(self) -> None:
        """A burst is over: the next one begins slowly again, for the peer may have changed."""
        if not self.failures:
            self.window = min(FIRST_CONNECTS, self._most)

    def failed(self, now: float, number: int, newest: int) -> bool:
        """Attempt *number* failed, *newest* being the last that began. True: pause anew.

        Attempts that were under way together fail together: that is one failure, not many.
        """
        self.window = 1
        if number <= self._round:
            return False
        self._round = newest
        self.failures += 1
        self.failed_at = now
        self.resume_at = math.inf  # until whoever performs has drawn the pause
        return True

    def refused(self, now: float, error: BaseException, fatal: bool) -> None:
        """Remember what a connect failed with."""
        if self.down_since is None:
            self.down_since = now
        self.error = error
        self.error_at = now
        self.fatal = fatal

    @property
    def awaits_pause(self) -> bool:
        """Whether a pause is to be drawn before anything goes on."""
        return self.resume_at == math.inf

    def pause_until(self, when: float) -> None:
        self.resume_at = when
        self.is_pausing = True

    def proved(self, opened: float) -> None:
        """A connection opened at *opened* has proved itself: the peer is well."""
        if self.failures and opened >= self.failed_at:
            self.failures = 0
            self.resume_at = -math.inf
            self.window = min(FIRST_CONNECTS, self._most)
