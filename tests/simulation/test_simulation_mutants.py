"""The mutants fit the package as it is, and the hunt tells a bug from none."""

from __future__ import annotations

import mutants
import pytest
from lifetimes import LIVES
from mutants import MUTANTS, hunt_one, tasks
from mutants_deciding import DECIDING
from mutants_performing import PERFORMING
from mutation import PACKAGE, ROOT, Mutant, Search, hunt

HARMLESS = Mutant(
    "harmless",
    "core/calm.py",
    "self.now = now",
    "self.now = now + 0",
    "no bug at all",
)
QUICK = Search(plays=10, all_tests=False)


class TestList:
    @pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
    def test_each_applies_and_compiles_and_changes_something(self, mutant: Mutant) -> None:
        source = mutant.source()
        compile(source, mutant.file, "exec")
        assert source != (PACKAGE / mutant.file).read_text()

    @pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
    def test_each_hint_leads_somewhere(self, mutant: Mutant) -> None:
        assert set(mutant.lives) <= set(LIVES)
        assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests)

    def test_no_name_is_used_twice(self) -> None:
        assert len(MUTANTS) == len(DECIDING) + len(PERFORMING)

    def test_there_is_a_hunt_for_each(self) -> None:
        assert [task.args[0] for task in tasks(nightly=False)] == list(MUTANTS)

    def test_one_that_does_not_fit_is_refused(self) -> None:
        for old in ("def nowhere", "self"):
            with pytest.raises(ValueError, match=r"core/calm\.py"):
                Mutant("misfit", "core/calm.py", old, "", "").source()


@pytest.mark.real
class TestHunt:
    def test_finds_nothing_where_nothing_is(self) -> None:
        catch = hunt(None, QUICK)
        assert catch.layer is None, catch.output
        assert catch.plays > len(LIVES)

    def test_a_life_betrays_a_bug(self) -> None:
        catch = hunt(MUTANTS["line-serves-the-newest"], QUICK)
        assert (catch.layer, catch.by_oracles) == ("plain", True), catch.output
        assert "was served before caller" in catch.output

    def test_a_test_betrays_another(self) -> None:
        catch = hunt(MUTANTS["retries-one-too-few"], QUICK)
        assert (catch.layer, catch.by_oracles) == ("named-tests", False), catch.output

    def test_one_that_hangs_is_ended(self) -> None:
        catch = hunt(MUTANTS["line-deadline-a-moment-late"], QUICK)
        assert catch.clue.startswith("hung in line")

    def test_a_survivor_is_a_failure_that_says_what_and_where(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(mutants.MUTANTS, HARMLESS.name, HARMLESS)
        tally = hunt_one(HARMLESS.name, QUICK)
        assert (tally.counts["mutants"], tally.counts["caught"]) == (1, 0)
        [failure] = tally.failures
        for what in (HARMLESS.name, HARMLESS.file, HARMLESS.old, HARMLESS.new, HARMLESS.why):
            assert what in failure
        assert failure.endswith("--replay 'mutant harmless'")
