"""Whether this process is the one that it was: notices a fork, also one made in C.

``os.register_at_fork`` tells of forks made by Python, at once. Servers that fork in C
(uWSGI) skip it, and asking for the process id at every checkout would cost more than the
checkout. So there is a page of memory that the kernel wipes in a child
(``MADV_WIPEONFORK``, Linux 4.14): to ask whether a byte of it is zero costs 5 ns. Where the
kernel has no such page, the process id is asked for after all.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["Heir", "SAME_PROCESS", "keep", "notice", "register"]

_MADV_WIPEONFORK = 18  # linux/mman.h; the mmap module does not name it on Python 3.10


class Heir(Protocol):
    """Something that must hear of a fork in the child before it does anything else."""

    def inherited(self) -> None:
        """This process is a child of the one that it belonged to."""


class _ByProcessId:
    """Stands in for the page where the kernel cannot wipe one."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __bool__(self) -> bool:
        return os.getpid() == self._pid

    @property
    def value(self) -> bool:
        """What it says; to set it is to say that this process is the one from now on."""
        return bool(self)

    @value.setter
    def value(self, value: bool) -> None:
        self._pid = os.getpid() if value else 0


def _make_flag() -> ctypes.c_bool | _ByProcessId:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (OSError, ValueError, AttributeError):
        return _ByProcessId()
    return ctypes.c_bool.from_buffer(page)


SAME_PROCESS = _make_flag()
"""True as long as no fork has gone unnoticed."""
SAME_PROCESS.value = True

_heirs: WeakSet[Heir] = WeakSet()


def register(heir: Heir) -> None:
    """Tell *heir* of a fork, in the child; it is referred to weakly."""
    _heirs.add(heir)


def keep(inherited: object) -> None:
    """Never let go of *inherited*: its finaliser might say goodbye in the parent's name."""
    _kept.append(inherited)


_kept: list[object] = []


def notice() -> None:
    """In a child: tell everybody, once."""
    if SAME_PROCESS:
        return
    with contextlib.ExitStack() as stack:  # all of them, even if one fails
        for heir in list(_heirs):
            stack.callback(heir.inherited)
    SAME_PROCESS.value = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice)
