"""Every single fault in every life: each step, each living greenlet, each kind of exception.

Both ways: from the hub, with a wake-up left on its way, and in place of the switch. Nothing is
sampled.
"""

from __future__ import annotations

import itertools

from lifetimes import LIVES
from tally import Tally, Task, judge

from geventconnpool.testing import single_faults

__all__ = ["enumerate_faults", "tasks"]

SEEDS = {False: 1, True: 4}
"""With so many seeds (they decide jitter and backoff) per change, and nightly."""


def enumerate_faults(name: str, seed: int = 0, part: int = 0, parts: int = 1) -> Tally:
    """Play life *name* once for each single fault; or only a share of these runs."""
    tally = Tally()
    life = LIVES[name]
    plans = itertools.islice(single_faults(life, seed), part, None, parts)
    for plan in plans:
        record = judge(name, life, plan, tally)
        if not record.struck:
            tally.failures.append(f"{name} {plan}: the fault met nobody")
    # Each fault is a position, a victim and an error; runs count all of them.
    tally.counts["lives"] += part == 0
    return tally


def tasks(nightly: bool) -> list[Task]:
    """All of it, in shares that keep several processes busy."""
    return [
        Task("single faults", enumerate_faults, (name, seed, part, 2))
        for seed in range(SEEDS[nightly])
        for name in LIVES
        for part in range(2)
    ]
