"""``python -m geventconnpool bench``: what it asks, shows, keeps and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bench_fakes
import pytest

import geventconnpool
from geventconnpool.cli import main
from geventconnpool.cli.bench import catalogue, children, plotting, record
from geventconnpool.cli.bench.answers import Answer
from geventconnpool.cli.bench.measuring import Effort

ALL = ["uncontended", "blocked", "contended", "retrying", "memory"]

Asked = list[tuple[str, Effort]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What is asked from here on; the answers are fakes, and ``memory`` has none."""
    found: Asked = []

    def ask(key: str, effort: Effort) -> Answer:
        found.append((key, effort))
        if key == "memory":
            raise children.NoAnswer("MemoryError: none left")
        return bench_fakes.answer(key, ratio=9.0 if key == "contended" else 1.2)

    monkeypatch.setattr(children, "ask", ask)
    monkeypatch.setattr(catalogue, "known", lambda: ALL)
    return found


def keys(asked: Asked) -> list[str]:
    return [key for key, _ in asked]


class TestQuestions:
    def test_nothing_named_is_a_short_look_that_says_how_to_see_more(
        self, asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(record, "_version", lambda name: "1.0")

        assert main(["bench"]) == 0

        assert keys(asked) == ["uncontended", "blocked", "contended", "retrying"]
        assert {effort for _, effort in asked} == {Effort(rounds=20, seed=1, quick=True)}
        output = capsys.readouterr().out
        assert "blocked: What does blocked cost?" in output
        assert output.endswith(
            "For more: python -m geventconnpool bench all, or one or more of\n"
            "uncontended, blocked, contended, retrying, memory.\n"
        )

    def test_it_says_how_to_get_the_pools_that_are_not_here(
        self, asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(record, "_version", lambda name: None if name == "redis" else "1.0")

        main(["bench"])

        shown = capsys.readouterr().out
        assert "not here  redis\n" in shown
        assert shown.endswith("To compare with redis: pip install 'geventconnpool[bench]'\n")

    def test_named_ones_are_asked_in_full_and_in_their_order(self, asked: Asked) -> None:
        assert main(["bench", "blocked", "uncontended", "blocked"]) == 0

        assert keys(asked) == ["uncontended", "blocked"]
        assert asked[0][1] == Effort(rounds=60, seed=1, quick=False)

    def test_all(self, asked: Asked) -> None:
        main(["bench", "all", "--quick"])

        assert keys(asked) == ALL
        assert asked[0][1] == Effort(rounds=20, seed=1, quick=True)

    def test_effort(self, asked: Asked) -> None:
        main(["bench", "blocked", "--rounds", "7", "--seed", "0"])

        assert asked[0][1] == Effort(rounds=7, seed=0, quick=False)

    def test_the_heading_repeats_the_command(
        self, asked: Asked, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["bench", "blocked", "--seed=3", "--quick"])

        shown = capsys.readouterr().out
        assert "python -m geventconnpool bench blocked --rounds 20 --seed 3 --quick" in shown

    def test_one_without_an_answer_does_not_keep_the_others_from_theirs(
        self, asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(catalogue, "known", lambda: ["memory", "blocked"])

        assert main(["bench", "all"]) == 1

        output = capsys.readouterr().out
        assert "memory: not answered: MemoryError: none left" in output
        assert "What does blocked cost?" in output

    @pytest.mark.parametrize(("key", "status"), [("blocked", 0), ("contended", 1)])
    def test_check_is_about_the_bars(self, asked: Asked, key: str, status: int) -> None:
        assert main(["bench", key, "--check"]) == status
        assert main(["bench", key]) == 0


class TestFiles:
    def test_what_json_keeps_is_shown_again(
        self, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kept = tmp_path / "run.json"
        main(["bench", "blocked", "contended", "--json", str(kept)])
        first = capsys.readouterr().out

        assert main(["bench", "--from", str(kept)]) == 0

        assert capsys.readouterr().out == first
        assert len(asked) == 2
        found = json.loads(kept.read_text())
        assert found["surroundings"]["versions"]["geventconnpool"] == geventconnpool.__version__

    def test_what_is_named_of_it_is_shown_and_checked_alone(
        self, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kept = str(tmp_path / "run.json")
        main(["bench", "all", "--json", kept])
        capsys.readouterr()

        assert main(["bench", "blocked", "--from", kept, "--check"]) == 0
        assert "contended cost" not in capsys.readouterr().out
        assert main(["bench", "contended", "--from", kept, "--check"]) == 1
        assert main(["bench", "--from", kept]) == 1  # memory has no answer there, either

    def test_what_was_answered_is_kept_when_the_rest_is_stopped(
        self, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask, kept = children.ask, tmp_path / "run.json"

        def interrupted(key: str, effort: Effort) -> Answer:
            if key == "contended":
                raise KeyboardInterrupt
            return ask(key, effort)

        monkeypatch.setattr(children, "ask", interrupted)

        assert main(["bench", "all", "--json", str(kept)]) == 130

        found = json.loads(kept.read_text())
        assert [answer["key"] for answer in found["answers"]] == ["uncontended", "blocked"]

    def test_an_earlier_run_is_kept_until_there_is_another(
        self, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = tmp_path / "run.json"
        kept.write_text("precious")

        assert main(["bench", "memory", "--json", str(kept)]) == 1

        assert kept.read_text() == "precious"

    def test_nobody_reads(self, asked: Asked, tmp_path: Path) -> None:
        """As with ``| head``: it ends, and says nothing of it."""
        kept = tmp_path / "run.json"
        main(["bench", "blocked", "--json", str(kept)])
        script = (
            "import os, sys\n"
            "from geventconnpool.cli import main\n"
            "reader, writer = os.pipe()\n"
            "os.close(reader)\n"
            "os.dup2(writer, 1)\n"
            "sys.exit(main(['bench', '--from', sys.argv[1]]))\n"
        )

        done = subprocess.run(
            [sys.executable, "-c", script, str(kept)],
            cwd=Path(geventconnpool.__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=120,
        )

        assert (done.returncode, done.stderr) == (1, "")


REFUSED: list[tuple[list[str], str]] = [
    (["--rounds", "0"], "--rounds"),
    (["--rounds", "-1"], "--rounds"),
    (["--rounds", "1.5"], "--rounds"),
    (["--rounds", "many"], "--rounds"),
    (["--rounds", "10001"], "--rounds"),
    (["--seed", "-1"], "--seed"),
    (["--seed", "x"], "--seed"),
    (["--quick=1"], "--quick"),
    (["--check=yes"], "--check"),
    (["--js=x"], "--js"),
    (["dancing"], "'dancing'"),
    (["blocked", "dancing"], "'dancing'"),
    ([""], "''"),
    (["--json"], "--json"),
    (["--json", "/nowhere/run.json"], "/nowhere/run.json"),
    (["--json", "/"], "'/'"),
    (["--plot", "/proc/nowhere"], "/proc/nowhere"),
    (["--from", "/nowhere"], "/nowhere"),
    (["--from", "/"], "--from"),
    (["--from", "/dev/null"], "--from"),
    (["--from", "/dev/null", "--seed", "0"], "--seed: has no meaning with --from"),
    (["--from", "/dev/null", "--rounds", "3"], "--rounds: has no meaning"),
    (["--from", "/dev/null", "--quick"], "--quick: has no meaning"),
    (["--from", "/dev/null", "--json", "x"], "--json: has no meaning"),
]


class TestRefusals:
    """One line, status 2, and nothing was asked."""

    @pytest.mark.parametrize(("arguments", "named"), REFUSED, ids=lambda value: str(value))
    def test_nonsense(
        self,
        arguments: list[str],
        named: str,
        asked: Asked,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(plotting, "is_possible", lambda: True)

        assert main(["bench", *arguments]) == 2

        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.count("\n") == 1
        assert named in output.err
        assert asked == []

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"surroundings": {}}', "\x00", "3"])
    def test_files_of_others(
        self, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "run.json"
        file.write_text(text)

        assert main(["bench", "--from", str(file)]) == 2

        output = capsys.readouterr()
        assert output.out == ""
        assert "was not written by --json" in output.err

    def test_without_matplotlib_no_plots(
        self,
        asked: Asked,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(plotting, "is_possible", lambda: False)

        assert main(["bench", "--plot", str(tmp_path / "plots")]) == 2

        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "pip install 'geventconnpool[bench]'" in error
        assert asked == []
        assert list(tmp_path.iterdir()) == []

    def test_help_tells_of_the_exit_status_and_the_questions(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["bench", "--help"]) == 0

        output = capsys.readouterr().out
        assert "Exit status" in output
        for key in catalogue.known():
            assert key in output


class TestCatalogue:
    def test_the_short_look_is_of_questions_that_there_are(self) -> None:
        assert set(catalogue.LOOK) <= set(catalogue.known())

    def test_what_is_no_question_is_not_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from geventconnpool.cli.bench import questions

        for name in ("memory", "blocked", "notes", "_helper"):
            (tmp_path / f"{name}.py").touch()
        monkeypatch.setattr(questions, "__path__", [str(tmp_path)])

        assert catalogue.known() == ["blocked", "memory"]

    def test_each_question_has_a_script_of_its_own(self) -> None:
        folder = Path(geventconnpool.__file__).parents[1] / "benchmarks"

        for key in catalogue.known():
            text = (folder / f"{key}.py").read_text()
            assert f'main(["bench", "{key}", *sys.argv[1:]])' in text
            assert f"python benchmarks/{key}.py" in text
            assert f"``{key}.py``" in (folder / "README.rst").read_text()


def test_no_command_is_needed_to_import_the_package_s_drawing(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare install has no matplotlib: nothing may ask for it before ``--plot`` does."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert main(["bench", "blocked"]) == 0
