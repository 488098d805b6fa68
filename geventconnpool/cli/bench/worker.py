"""Asks one question in a process of its own, and prints the answer as JSON.

python -m geventconnpool.cli.bench.worker KEY [--rounds N] [--seed N] [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from collections.abc import Sequence

from gevent import monkey

from geventconnpool.cli.arguments import Parser, whole_number
from geventconnpool.cli.bench import catalogue, questions
from geventconnpool.cli.bench.measuring import Effort

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Ask what is named; returns the exit status."""
    monkey.patch_all()  # before a question is imported, and with it the peers, which need it
    arguments = _parser().parse_args(argv)
    signal.alarm(arguments.limit)  # ends it even if whoever started it is gone
    question = importlib.import_module(f"{questions.__name__}.{arguments.key}")
    answer = question.ask(Effort(arguments.rounds, arguments.seed, arguments.quick))
    print(json.dumps(answer.as_json()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m geventconnpool.cli.bench.worker")
    add, number = parser.add_argument, whole_number
    add("key", choices=catalogue.known())
    add("--rounds", type=number(1, 10_000), default=Effort.rounds)
    add("--seed", type=number(0, 10**18 - 1), default=Effort.seed)
    add("--quick", action="store_true")
    add("--limit", type=number(0, 86_400), default=0, help="seconds; 0 means no limit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
