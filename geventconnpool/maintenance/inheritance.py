"""What a child process does with the connections of its parent: nothing, and for ever.

It must not send a byte on them, nor say goodbye, nor end them for the parent. Copies of
greenlets that were using one go on in the child, so one end of a dead socket pair is laid
over each descriptor. That also lets the parent's own close reach the peer.
"""

from __future__ import annotations

import _socket  # what gevent makes of it belongs to an event loop
import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gevent import socket

from geventconnpool import forks
from geventconnpool.core.slot import CLOSED, Slot

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["bury"]


def bury(engine: Engine) -> None:
    """Cut everything that *engine* inherited off from its peers, and keep it for ever."""
    slots = list(engine.state.books.slots.values())
    engine.watcher.bury()
    with _dead_socket() as dead:
        for slot in slots:
            for descriptor in (*_own_descriptor(slot), *_half_made(slot)):
                with contextlib.suppress(OSError):
                    os.dup2(dead, descriptor, inheritable=False)
    for slot in slots:
        _stop_job(slot)
        if slot.is_out:
            engine.revoke(slot)
        slot.state = CLOSED
        forks.keep(slot)


def _own_descriptor(slot: Slot) -> Iterator[int]:
    descriptor = slot.descriptor
    if descriptor is not None and descriptor.is_same():
        yield descriptor.fd


def _half_made(slot: Slot) -> Iterator[int]:
    """What a hook at work has opened, as far as its frames tell: no record knows of it yet.

    A hook that waits for a socket of gevent's has it in a frame, be it only gevent's own. When
    its copy is stopped here, its clean-up may want to say goodbye in the parent's name.
    """
    frame = None if slot.job is None else slot.job.greenlet.gr_frame
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if isinstance(value, socket.socket) and (number := value.fileno()) >= 0:
                yield number
        frame = frame.f_back


def _stop_job(slot: Slot) -> None:
    job = slot.job
    if job is not None and job.finish(slot) and job.greenlet.loop is not None:  # its hub lives
        job.greenlet.kill(block=False)


class _dead_socket:  # noqa: N801 - reads as a function
    """The number of a socket whose other end is closed: reads end, writes fail."""

    def __enter__(self) -> int:
        self._end, other = _socket.socketpair()
        other.close()
        return self._end.fileno()

    def __exit__(self, *exc: object) -> None:
        self._end.close()
