"""A bug, put into a copy of the package on purpose, and the hunt for it in a child process."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import geventconnpool

__all__ = ["Catch", "Mutant", "Search", "hunt"]

PACKAGE = Path(geventconnpool.__file__).parent
ROOT = Path(__file__).parents[2]
HUNTER = Path(__file__).with_name("hunter.py")

PATIENCE = 300.0
"""Real seconds for one hunt, which takes a few; a hunter that sleeps for ever is ended then."""

BY_HANG = {-signal.SIGPROF: "hung", -signal.SIGXCPU: "hung"}


@dataclass(frozen=True)
class Mutant:
    """One plausible mistake: in *file*, *new* stands where *old* should."""

    name: str
    file: str
    """Its path inside the package."""
    old: str
    """Found exactly once in the file."""
    new: str
    why: str
    """What somebody might have been thinking of, or not."""
    lives: tuple[str, ...] = ()
    """Where a fault betrays it: these lives are searched first, and at length."""
    tests: tuple[str, ...] = ()
    """What no life shows is shown by these tests."""

    def source(self) -> str:
        """The text of the file, mutated.

        :raises ValueError: *old* is not there, or not only once.
        """
        text = (PACKAGE / self.file).read_text()
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"mutant {self.name}: {found} times in {self.file}: {self.old!r}")
        return text.replace(self.old, self.new)

    def __str__(self) -> str:
        change = f"-{_indented(self.old)}\n  +{_indented(self.new)}"
        return f"{self.name}: {self.why}\n  {self.file}\n  {change}"


def _indented(text: str) -> str:
    return text.strip("\n").replace("\n", "\n   ")


@dataclass(frozen=True)
class Search:
    """How far a hunt goes."""

    plays: int = 250
    """So many lives are played with a fault each."""
    all_tests: bool = True
    """Whether all fast tests are run in the end; else only those that the mutant names."""


@dataclass(frozen=True)
class Catch:
    """What came of a hunt."""

    layer: str | None
    """Which look found it; None if none did."""
    clue: str
    """The life, plan or test that failed."""
    plays: int
    seconds: float
    """Of processor time."""
    output: str

    @property
    def by_oracles(self) -> bool:
        """Whether a simulated life betrayed it, not a test written for the purpose."""
        return self.layer is not None and not self.layer.endswith("tests")


def hunt(mutant: Mutant | None, search: Search = Search()) -> Catch:
    """Look for *mutant* in a copy of the package; with None, in one as it is.

    :raises RuntimeError: the hunter itself came to grief.
    """
    with _copy_of_package(mutant) as folder:
        notes = folder / "notes"
        order = {
            "package": str(folder / PACKAGE.name),
            "notes": str(notes),
            "lives": () if mutant is None else mutant.lives,
            "tests": () if mutant is None else mutant.tests,
            **asdict(search),
        }
        before = _child_seconds()
        done = _run_hunter(folder, order)
        seconds = _child_seconds() - before
        return _read(notes, done, seconds)


@contextmanager
def _copy_of_package(mutant: Mutant | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        copy = folder / PACKAGE.name
        # With what was compiled: it is valid as long as the time of the source is the same.
        shutil.copytree(PACKAGE, copy)
        if mutant is not None:
            path = copy / mutant.file
            path.write_text(mutant.source())
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
                compiled.unlink()
        yield folder


def _run_hunter(folder: Path, order: dict[str, object]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    environment.pop("GEVENTCONNPOOL_TEST_PATCHED", None)
    return subprocess.run(
        [sys.executable, str(HUNTER), json.dumps(order)],
        cwd=ROOT, env=environment, timeout=PATIENCE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _read(notes: Path, done: subprocess.CompletedProcess[str], seconds: float) -> Catch:
    """The last note says how it ended, or where the hunter was when it had no time left."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    plays = sum(line.startswith("looking ") for line in lines)
    verdict, layer, clue = lines[-1].split(" ", 2) if lines else ("", "", "")
    if verdict == "looking" and done.returncode in BY_HANG:
        return Catch(layer, f"hung in {clue}", plays, seconds, done.stdout)
    if done.returncode != 0 or verdict not in ("caught", "missed"):
        raise RuntimeError(f"the hunter failed ({done.returncode}), {lines[-1:]}\n{done.stdout}")
    return Catch(None if verdict == "missed" else layer, clue, plays, seconds, done.stdout)


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
