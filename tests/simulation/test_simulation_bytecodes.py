"""Ctrl-C before any instruction of a checkout or return: nothing is lost, nobody waits on."""

from __future__ import annotations

import bytecodes
import pytest
from bytecodes import LIMITS, sweep

from geventconnpool.maintenance import supervision

pytestmark = pytest.mark.skipif(
    not bytecodes.AVAILABLE, reason="sys.monitoring came with Python 3.12"
)

QUICK = ["with_block", "with_waiters"]


def found(names: list[str], **how: object) -> bytecodes.Result:
    result = sweep(names, **how)  # type: ignore[arg-type]
    print(result)
    return result


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost_on_the_calm_path(name: str) -> None:
    result = found([name], full=True)

    assert [str(violation) for violation in result.violations] == []
    assert result.limits == 0  # with a block there is none
    assert result.runs == 2 * result.positions > 200
    assert result.repaired > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["by_hand", "with_block reset"])
def test_nothing_is_lost_on_other_paths(name: str) -> None:
    """The rest of them is a part of the proof."""
    result = found([name])

    assert [str(violation) for violation in result.violations] == []
    assert result.limits <= len(LIMITS) * len(bytecodes.FATES)
    assert result.runs > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with_block", "broken", "blocked with_block_asking reset"])
def test_nothing_is_lost_in_the_greenlets_of_the_pool(name: str) -> None:
    result = found([name], who="pool", fates=("kept",))

    assert [str(violation) for violation in result.violations] == []
    assert result.runs > 50


def test_without_a_supervisor_places_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "repair", lambda engine, now: None)
    monkeypatch.setattr(supervision, "take_back", lambda engine, slot, now: None)
    result = found(["with_block"], fates=("died",))

    assert any("a place is lost" in violation.wrong for violation in result.violations)
