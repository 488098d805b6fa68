"""Every scenario of the tables, played and compared with what is to be told."""

from __future__ import annotations

import pytest
import scenarios_checkouts
import scenarios_connects
import scenarios_endings
import scenarios_operations
import scenarios_upkeep
from scenario_runner import Scenario, play

TABLES = (
    scenarios_checkouts,
    scenarios_connects,
    scenarios_endings,
    scenarios_operations,
    scenarios_upkeep,
)
SCENARIOS = [scenario for table in TABLES for scenario in table.SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.rule)
def test_rule(sim, scenario):
    expected = [" ".join(line.split()) for line in scenario.told.strip().splitlines()]

    assert play(scenario, sim) == expected


def test_rules_have_different_names():
    rules = [scenario.rule for scenario in SCENARIOS]

    assert len(rules) == len(set(rules)) >= 25


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("1 pool shows idle=7", "idle"),
        ("1 peer open 7", "7"),
        ("1 ann has 7", "7"),
        ("1 ann gets PoolTimeout", "got nothing yet"),
        ("1 ann waits", "waits no more"),
    ],
)
def test_step_that_is_not_true_fails(sim, step, complaint):
    with pytest.raises(AssertionError, match=complaint):
        play(Scenario("none", steps=f"0 ann takes\n{step}", told=""), sim)
