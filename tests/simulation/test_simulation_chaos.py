"""Random orders and faults in rich lives: the short form, and that it sees a broken pool."""

from __future__ import annotations

from typing import Any

import pytest
from chaos import CROWDS, PLANS_A_SEED, play_some

from geventconnpool.desk import Desk
from geventconnpool.testing import Plan, play, random_plans


@pytest.mark.parametrize("name", CROWDS)
def test_a_rich_life_survives_three_faults(name: str) -> None:
    tally = play_some(name, first=0, seeds=2)
    assert tally.failures == []
    assert tally.counts["runs"] == 2 * (1 + PLANS_A_SEED)
    assert tally.counts["faults"] > 2 * PLANS_A_SEED


def test_the_plans_of_a_seed_are_always_the_same() -> None:
    survey = play(CROWDS["careful"], Plan(5, shuffle=True))
    one, other = (list(random_plans(survey, PLANS_A_SEED)) for _ in range(2))
    assert one == other
    assert len(set(map(str, one))) == PLANS_A_SEED


def test_a_broken_pool_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an ``Exception`` speaks against a connection, says this one."""
    judge = Desk._judge

    def misjudge(self: Desk, slot: Any, error: BaseException | None) -> Any:
        return judge(self, slot, error if isinstance(error, Exception) else None)

    monkeypatch.setattr(Desk, "_judge", misjudge)
    tally = play_some("rush", first=0, seeds=12)
    assert tally.failures
    assert "was told" in tally.failures[0]
    assert "replay: python -m tests.simulation --replay 'rush seed=" in tally.failures[0]
