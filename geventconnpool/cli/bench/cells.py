"""One measurement in a process of its own, where CPU time or memory of a process counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import geventconnpool

__all__ = ["CellError", "in_cell"]

PATIENCE = 300
"""Seconds that a cell may take."""
_GRACE = 5  # its own bound comes after ours
_HOME = Path(geventconnpool.__file__).resolve().parent.parent

_START = """\
from gevent import monkey
monkey.patch_all()
from geventconnpool.cli.bench import cells
cells.main()
"""


class CellError(Exception):
    """A cell came to nothing; the text is the last line that it wrote."""


def in_cell(measured: Callable[..., Any], *arguments: Any) -> Any:
    """What *measured*, a function of a module, returns in a fresh process; all through JSON."""
    call = json.dumps([measured.__module__, measured.__name__, arguments])
    command = [sys.executable, "-c", _START, call]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=_HOME)
    except subprocess.TimeoutExpired:
        raise CellError(f"not through after {PATIENCE} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise CellError(lines[-1] if lines else f"exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Called in the fresh process: measure, and print what was found."""
    signal.alarm(PATIENCE + _GRACE)  # whoever started it may be gone
    module, name, arguments = json.loads(sys.argv[1])
    print(json.dumps(getattr(import_module(module), name)(*arguments)))
