"""The command line: what can be asked of the package without writing a program.

A command's code is imported when the command runs: ``diagnose`` looks at what a program
imports and patches, and must not have imported ``ssl`` and the like before it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import cast

from geventconnpool import __version__
from geventconnpool.cli import options
from geventconnpool.cli.arguments import Parser

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Without *argv*, the process's own."""
    try:
        arguments = _parser().parse_args(sys.argv[1:] if argv is None else argv)
        run = importlib.import_module(arguments.module).run
        return cast(int, run(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m geventconnpool",
        description="Connection pooling for gevent programs.",
    )
    parser.add_argument("--version", action="version", version=f"geventconnpool {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    options.add_bench(commands)
    options.add_demo(commands)
    options.add_demo_server(commands)
    options.add_diagnose(commands)
    return parser
