"""A question is asked in a process of its own, which never outlives its welcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bench_fakes
import pytest

import geventconnpool
from geventconnpool.cli.bench import children
from geventconnpool.cli.bench.answers import Bar
from geventconnpool.cli.bench.measuring import Effort

HOME = Path(geventconnpool.__file__).resolve().parents[1]
PATIENCE = 60

Ask = Callable[[str], None]

SLEEP = """
import os, subprocess, sys, time
def ask(effort):
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    with open({pids!r}, "w") as file:
        file.write(f"{{os.getpid()}} {{grandchild.pid}}\\n")
    time.sleep(300)
"""


@pytest.fixture
def question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a question of ours in the place of ``blocked``; asked by the real worker."""

    def command(key: str, effort: Effort) -> list[str]:
        real = command_for(key, effort)
        assert real[1:4] == ["-m", "geventconnpool.cli.bench.worker", key]
        return bench_fakes.command(tmp_path, key, *real[4:])

    def put(text: str) -> Path:
        (tmp_path / "blocked.py").write_text(text)
        return tmp_path

    command_for = children._command
    monkeypatch.setattr(children, "_command", command)
    return put


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # nobody but its parent can do more


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pids_in(file: Path) -> list[int]:
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return [int(pid) for pid in file.read_text().split()]


class TestAnswers:
    def test_the_answer_comes_back_whole(self, question: Ask) -> None:
        question(bench_fakes.QUESTION)

        answer = children.ask("blocked", Effort(rounds=3, seed=9), PATIENCE)

        assert answer.question == "How long, with seed 9?"
        assert answer.bars == [Bar("rounds", 3, 5, "rounds")]
        assert [figure.table for figure in answer.figures] == ["counting"] * 2 + ["at leisure"] * 2
        floor, pool = answer.figures[:2]
        assert floor.value == 1.0
        assert pool.low <= pool.value <= pool.high

    def test_quick_gets_there(self, question: Ask) -> None:
        question(bench_fakes.QUESTION)

        answer = children.ask("blocked", Effort(rounds=2, quick=True), PATIENCE)

        assert {figure.table for figure in answer.figures} == {"counting"}

    def test_everything_is_patched_before_the_question_is_imported(self, question: Ask) -> None:
        question(
            "import socket, threading, time\n"
            "from gevent import monkey, sleep\n"
            "from geventconnpool.cli.bench.answers import Answer\n"
            "seen = [monkey.is_module_patched(n) for n in ('socket', 'threading', 'time')]\n"
            "def ask(effort):\n"
            "    return Answer('blocked', f'{seen} {time.sleep is sleep}')\n"
        )

        answer = children.ask("blocked", Effort(), PATIENCE)

        assert answer.question == "[True, True, True] True"

    def test_a_bare_command_finds_this_very_package(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "geventconnpool.cli.bench.worker", "dancing"],
            cwd=HOME, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

        assert (done.returncode, done.stdout) == (2, "")
        assert "dancing" in done.stderr


class TestFailures:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("def ask(effort):\n    raise LookupError('no luck')\n", "LookupError: no luck"),
            ("import geventconnpool.nothing\n", "No module named 'geventconnpool.nothing'"),
            ("import os\ndef ask(effort):\n    os._exit(3)\n", "status 3"),
            ("import os\ndef ask(effort):\n    os.kill(os.getpid(), 9)\n", "status -9"),
            ("ask = None\n", "TypeError"),
        ],
    )
    def test_the_reason_is_one_line(self, question: Ask, text: str, reason: str) -> None:
        question(text)

        with pytest.raises(children.NoAnswer) as caught:
            children.ask("blocked", Effort(), PATIENCE)

        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_one_that_takes_too_long_is_ended_with_all_that_it_started(
        self, question: Ask, tmp_path: Path
    ) -> None:
        pids = tmp_path / "pids"
        question(SLEEP.format(pids=str(pids)))

        with pytest.raises(children.NoAnswer, match="no answer within 3 s"):
            children.ask("blocked", Effort(), limit=3)

        if pids.exists():  # a busy machine may need longer to start it
            for pid in pids_in(pids):
                wait_until(lambda pid=pid: has_ended(pid))

    def test_it_ends_by_itself_when_whoever_started_it_is_gone(self, tmp_path: Path) -> None:
        (tmp_path / "blocked.py").write_text("import time\ndef ask(effort): time.sleep(300)\n")

        done = subprocess.run(
            bench_fakes.command(tmp_path, "blocked", "--limit", "1"), cwd=HOME, timeout=PATIENCE
        )

        assert done.returncode == -signal.SIGALRM


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "kill"]
)
def test_stopped_the_command_leaves_nothing_behind(
    number: int, status: int, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    (tmp_path / "blocked.py").write_text(SLEEP.format(pids=str(pids)))
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import pathlib, bench_fakes\n"
        "from geventconnpool.cli import main\n"
        "from geventconnpool.cli.bench import children\n"
        "folder = pathlib.Path(sys.argv[3])\n"
        "children._command = lambda key, effort: bench_fakes.command(folder, key)\n"
        "sys.exit(main(['bench', 'blocked']))\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(HOME), str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        started = pids_in(pids)
        assert not any(map(has_ended, started))

        os.kill(command.pid, number)

        _, complaints = command.communicate(timeout=PATIENCE)
        assert command.returncode == status
        assert complaints == "asking: blocked (1 of 1)\n"
        for pid in started:
            wait_until(lambda pid=pid: has_ended(pid))
    finally:
        command.kill()
        command.wait()


@pytest.mark.parametrize("key", ["uncontended", "retrying"])
def test_a_script_is_the_command_for_its_question(key: str) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{key}.py", "--help"],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        cwd=HOME, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m geventconnpool bench" in done.stdout
