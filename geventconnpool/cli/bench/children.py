"""One process for each question, bounded in time, and gone when nobody waits for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import geventconnpool
from geventconnpool.cli.bench.answers import Answer
from geventconnpool.cli.bench.measuring import Effort

__all__ = ["NoAnswer", "ask"]

_QUICK_LIMIT = 300
_LIMIT = 3600
_GRACE = 5  # seconds, so that the child's own bound comes after ours


class NoAnswer(Exception):
    """A question that failed; the text says why, in one line."""


def ask(key: str, effort: Effort, limit: int | None = None) -> Answer:
    """The answer to question *key*, from a process that gets *limit* seconds for it."""
    if limit is None:
        limit = _QUICK_LIMIT if effort.quick else _LIMIT
    with _started([*_command(key, effort), "--limit", str(limit + _GRACE)]) as child:
        try:
            said, complaints = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill(child)
            child.communicate()  # whatever reads its pipes comes to an end, too
            raise NoAnswer(f"no answer within {limit} s") from None
    if child.returncode != 0:
        raise NoAnswer(_reason(complaints, child.returncode))
    return Answer.from_json(json.loads(said.splitlines()[-1]))  # below a peer's chatter, if any


def _command(key: str, effort: Effort) -> list[str]:
    command = [sys.executable, "-m", "geventconnpool.cli.bench.worker", key]
    command += ["--rounds", str(effort.rounds), "--seed", str(effort.seed)]
    return [*command, "--quick"] if effort.quick else command


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The child, in a session of its own with what it may start; killed if the block fails."""
    home = Path(geventconnpool.__file__).resolve().parent.parent
    with (
        _terminable(),
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=home,  # where it can import this very package
        ) as child,
    ):
        try:
            yield child
        except BaseException:
            _kill(child)
            raise


def _kill(child: subprocess.Popen[str]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself, and so has all that it started


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite kill ends the block like Ctrl-C does, so that the child is not left behind."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _reason(complaints: str, status: int) -> str:
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with status {status} and does not say why"
