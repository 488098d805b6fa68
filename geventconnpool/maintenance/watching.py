"""Watching idle connections: the kernel tells when a peer closes one, or speaks unasked.

One epoll set holds the sockets of a pool, each registered once and edge-triggered, and is
itself watched by the loop. So a checkout needs no system call. An edge is missed by nobody:
while a connection is in use, an event only marks it, and it is polled when it comes back.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gevent import monkey

from geventconnpool import forks
from geventconnpool.core.slot import IDLE, Slot
from geventconnpool.events import CloseReason

__all__ = ["Descriptor", "Watcher", "is_tls", "own_fileno", "shut_hard"]


def _original(name: str) -> Any:
    """What ``select`` held before patching, which makes it switch greenlets, or removes it."""
    try:
        return monkey.get_original("select", name)
    except AttributeError:
        return None  # this system has no such thing


_poll = _original("poll")
_epoll = _original("epoll")
HAS_EPOLL = _epoll is not None
_RawSocket: Any = monkey.get_original("socket", "socket")

_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)
_TELLS_HANG_UP = hasattr(select, "POLLRDHUP")
_NO_SUCH = select.POLLNVAL
_READABLE = select.POLLIN


class Descriptor:
    """The file descriptor of a connection. The inode tells whether the number was reused."""

    __slots__ = ("fd", "inode", "owner", "tls", "watched")

    def __init__(self, fd: int, inode: int, connection: Any) -> None:
        self.fd = fd
        self.inode = inode
        self.tls = is_tls(connection)
        self.owner = _owner(connection, fd)
        """Whose ``fileno()`` it is; another number, or none, says that its user closed it."""
        self.watched = False

    def is_same(self) -> bool:
        """Whether the number still means what it meant."""
        try:
            return os.fstat(self.fd).st_ino == self.inode
        except OSError:
            return False


class Watcher:
    """Looks after the descriptors of one pool's connections."""

    def __init__(self, mode: bool | str, on_event: Callable[[], None]) -> None:
        self._unasked = mode is True
        self._watching = mode is not False
        self._on_event = on_event
        self._poll = _poll()
        self._epoll: Any = None
        self._watcher: Any = None
        self._slots: dict[int, Slot] = {}

    # -- a connection's way

    def describe(self, connection: Any, fileno: Callable[[], Any]) -> Descriptor | None:
        """The descriptor of *connection* as *fileno* says it; None where there is none."""
        try:
            fd = fileno()
            if isinstance(fd, bool) or not isinstance(fd, int) or fd < 0:
                return None
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) or self._is_taken(fd):
                return None  # a file is always readable: that says nothing
            return Descriptor(fd, status.st_ino, connection)
        except BaseException:  # the hook is somebody else's code, and the place must not be lost
            return None

    def watch(self, slot: Slot, descriptor: Descriptor, loop: Any) -> None:
        """Keep an eye on *slot*'s connection from now on."""
        slot.descriptor = descriptor
        slot.owner = descriptor.owner
        slot.refresh_plain()
        if not self._watching:
            return
        # This kind of descriptor cannot be watched, or there is none left for the set.
        with contextlib.suppress(OSError):
            self._register(descriptor, loop)
            descriptor.watched = True
            self._slots[descriptor.fd] = slot

    def unwatch(self, slot: Slot) -> None:
        """Look away, before the descriptor is closed: its number is reused at once."""
        descriptor = slot.descriptor
        if descriptor is None or not descriptor.watched:
            return
        descriptor.watched = False
        self._slots.pop(descriptor.fd, None)
        self._unregister(descriptor)

    def hand_on(self, successor: Slot) -> None:
        """The connection has a new record."""
        descriptor = successor.descriptor
        if descriptor is not None and descriptor.watched:
            self._slots[descriptor.fd] = successor

    def fault(self, slot: Slot) -> CloseReason | None:
        """Why *slot*'s connection cannot be used any more, if that can be seen.

        Costs one system call, switches to nobody. Asked when it comes back, among others.
        """
        descriptor = slot.descriptor
        if descriptor is None:
            return None
        if descriptor.owner is None:
            if not descriptor.is_same():
                return CloseReason.DISCARDED
        elif _number(descriptor.owner) != descriptor.fd:
            return CloseReason.DISCARDED
        events = self._poll_now(descriptor.fd)
        if events & _NO_SUCH:
            return CloseReason.DISCARDED
        if events & _HUNG_UP or (events & _READABLE and self._unasked and not descriptor.tls):
            return CloseReason.LOST
        slot.refresh_plain()  # bytes may have come; it was looked at, and all is well
        return None

    def has_unread(self, slot: Slot) -> bool:
        """Whether bytes wait to be read on *slot*'s connection."""
        return slot.descriptor is not None and bool(self._poll_now(slot.descriptor.fd) & _READABLE)

    def _is_taken(self, fd: int) -> bool:
        """Whether another slot's connection has this number, and has it still."""
        slot = self._slots.get(fd)
        if slot is None:
            return False
        if slot.descriptor.is_same():
            return True
        self.unwatch(slot)
        return False

    def records(self) -> Iterator[Slot]:
        """The slots that are watched."""
        return iter(self._slots.values())

    # -- events

    def collect(self) -> list[Slot]:
        """Idle slots whose connection is no good any more, by what the kernel tells."""
        lost = []
        for fd in self._noticed():
            slot = self._slots.get(fd)
            if slot is None:
                continue
            if slot.is_out:
                slot.plain = False  # bytes came: look before it is shelved
            elif slot.state is IDLE and Watcher.fault(self, slot) is not None:
                lost.append(slot)
        return lost

    def refresh(self) -> None:
        """Called once in a while."""

    def close(self) -> None:
        """Stop watching for good."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        for slot in self._slots.values():  # some are still out
            slot.descriptor.watched = False
        self._slots.clear()

    def bury(self) -> None:
        """In a child: leave the set alone, for it is the parent's too."""
        if self._watcher is not None:
            self._watcher.stop()
            forks.keep((self._epoll, self._watcher))
            self._epoll = self._watcher = None
        self._slots.clear()

    def _register(self, descriptor: Descriptor, loop: Any) -> None:
        if self._epoll is None:
            self._open(loop)
        events = select.EPOLLRDHUP | select.EPOLLET
        if self._unasked and not descriptor.tls:
            events |= select.EPOLLIN
        self._epoll.register(descriptor.fd, events)

    def _unregister(self, descriptor: Descriptor) -> None:
        if descriptor.is_same():
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor.fd)

    def _noticed(self) -> list[int]:
        """The numbers of descriptors on which something has happened."""
        if self._epoll is None:
            return []
        return [fd for fd, _ in self._epoll.poll(0, max(len(self._slots), 1))]

    def _open(self, loop: Any) -> None:
        self._epoll = _epoll()
        # Heard before the user who waits for the same bytes: if he takes only some of them
        # and is done, it is known by then that there is something to look after.
        self._watcher = loop.io(self._epoll.fileno(), 1, ref=False, priority=loop.MAXPRI)
        self._watcher.start(self._on_event)

    def _poll_now(self, fd: int) -> int:
        """What the kernel says of *fd* at this moment."""
        poll = self._poll
        poll.register(fd, _READABLE | _HUNG_UP)
        try:
            found = poll.poll(0)
        finally:
            poll.unregister(fd)
        events: int = found[0][1] if found else 0
        if events & _READABLE and not _TELLS_HANG_UP and _is_at_end(fd):
            events |= select.POLLHUP
        return events


def is_tls(connection: Any) -> bool:
    """Whether *connection*, or its ``sock``, is a TLS socket."""
    kinds = _tls_sockets()
    try:
        return isinstance(connection, kinds) or isinstance(connection.sock, kinds)
    except Exception:
        return False


def _tls_sockets() -> tuple[type, ...]:
    """The classes of TLS sockets that there can be an instance of.

    Nothing is imported for it: a program that imports this package before it patches must
    not find ``ssl`` imported too early.
    """
    modules = (sys.modules.get("gevent.ssl"), sys.modules.get("ssl"))
    kinds = {getattr(module, "SSLSocket", None) for module in modules}
    if "ssl" in sys.modules:
        kinds.add(monkey.get_original("ssl", "SSLSocket"))
    return tuple(kind for kind in kinds if isinstance(kind, type))


def own_fileno(connection: Any) -> Any:
    """What *connection*, or its ``sock``, says its descriptor is."""
    try:
        return connection.fileno()
    except Exception:
        return connection.sock.fileno()


def _owner(connection: Any, fd: int) -> Any:
    """Who can be asked whether *connection* is still open: itself, or its ``sock``, or nobody."""
    if _number(connection) == fd:
        return connection
    try:
        sock = connection.sock
    except Exception:
        return None
    return sock if _number(sock) == fd else None


def _number(owner: Any) -> Any:
    try:
        return owner.fileno()
    except Exception:
        return -1


def shut_hard(descriptor: Descriptor | None) -> None:
    """End the conversation on a descriptor without touching the object that owns it.

    The peer sees it end, and whoever waits on it wakes up. The number stays with its owner,
    so nothing that is opened meanwhile can be hit when the owner closes it.
    """
    if descriptor is None or not descriptor.is_same():
        return
    with contextlib.suppress(OSError), _borrowed(descriptor.fd) as raw:
        raw.shutdown(socket.SHUT_RDWR)


def _is_at_end(fd: int) -> bool:
    """Whether nothing but the end is left to be read from a socket that is readable."""
    try:
        with _borrowed(fd) as raw:
            return not raw.recv(1, socket.MSG_PEEK)
    except OSError:
        return False


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[Any]:
    """A socket of the standard library's kind for *fd*, which stays its owner's."""
    raw = _RawSocket(fileno=fd)
    try:
        yield raw
    finally:
        raw.detach()
