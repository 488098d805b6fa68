"""A short soak: after each round of faults there is as much of everything as before it."""

from __future__ import annotations

import dataclasses
import random

import pytest
from real_soak import ENOUGH, WARM_UP, Sample, Soak, growth

SECONDS = 10


@pytest.fixture(autouse=True, scope="session")
def cooperative():
    """These clients are gevent's own: they cooperate where nothing is patched, too."""


@pytest.mark.slow
def test_nothing_grows_from_round_to_round():
    soak = Soak(seed=random.SystemRandom().randrange(10**9))
    print(f"seed {soak.seed}")
    for sample in soak.run(SECONDS):
        print(dataclasses.astuple(sample))
    assert soak.right > 0
    assert soak.complaints() == []


def test_a_leak_is_told_from_noise():
    """Half a chance of a big number is noise; a small one that adds up is not."""
    chance = random.Random(1)
    noise = [chance.choice([0, 50]) for _ in range(20)]
    assert abs(growth(noise)) < 1
    assert growth([2 * n + value for n, value in enumerate(noise)]) > 1
    assert growth([7] * 9) == 0


@pytest.mark.parametrize("leaking", [field.name for field in dataclasses.fields(Sample)])
def test_each_number_can_fail_the_soak(leaking):
    soak = Soak(seed=1)
    for n in range(WARM_UP + ENOUGH):
        soak.samples.append(dataclasses.replace(Sample(9, 9, 9, 9, 9, 9), **{leaking: n * 10**6}))
    assert soak.complaints() == [f"{leaking} grow by 1e+06 in each round"]
