"""The command: ask, show, and keep what came out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from geventconnpool.cli.bench import catalogue, children, plotting, tables
from geventconnpool.cli.bench.measuring import Effort
from geventconnpool.cli.bench.record import Record, surroundings

__all__ = ["run"]

_QUICK_ROUNDS = 20

_EXTRA = "pip install 'geventconnpool[bench]'"
_MORE = "This was a short look. For more: python -m geventconnpool bench all"


def run(arguments: argparse.Namespace) -> int:
    """Ask or look up, show, and return the exit status."""
    _refuse_nonsense(arguments)
    try:
        record = _asked(arguments) if arguments.source is None else _read(arguments)
        print(tables.verdict(record))
        if arguments.plot is not None:
            for path in plotting.plot(record.answers, Path(arguments.plot)):
                print(path)
        if arguments.source is None and not arguments.questions:
            print(_more(record))
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None  # nobody reads, so nothing may be said at exit either
        return 1
    missed = arguments.check and not all(bar.is_passed for bar in record.bars)
    return 1 if record.failures or missed else 0


def _refuse_nonsense(arguments: argparse.Namespace) -> None:
    """Say no before anything takes long."""
    if arguments.source is not None:
        for name in ("rounds", "seed", "quick", "json"):
            given = getattr(arguments, name)
            if given is not None and given is not False:  # a seed may be 0
                arguments.refuse(f"argument --{name}: has no meaning with --from")
    if arguments.plot is not None and not plotting.is_possible():
        arguments.refuse(f"argument --plot: needs matplotlib: {_EXTRA}")
    try:
        if arguments.json is not None:
            open(arguments.json, "a").close()  # keeps what is there until there is an answer
        if arguments.plot is not None:
            Path(arguments.plot).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        arguments.refuse(f"cannot write {error.filename!r}: {error.strerror}")


def _asked(arguments: argparse.Namespace) -> Record:
    """A new run, shown as it goes; what was answered is kept although a later one is stopped."""
    effort, keys = _effort(arguments), _wanted(arguments)
    record = Record(surroundings(_command(arguments, effort)))
    print(tables.heading(record.surroundings), flush=True)
    try:
        for place, key in enumerate(keys, 1):
            print(f"asking: {key} ({place} of {len(keys)})", file=sys.stderr, flush=True)
            try:
                record.answers.append(children.ask(key, effort))
                print(f"\n{tables.answer_text(record.answers[-1])}\n", flush=True)
            except children.NoAnswer as error:
                record.failures[key] = str(error)
    finally:
        if arguments.json is not None and record.answers:
            Path(arguments.json).write_text(json.dumps(record.as_json(), indent=1) + "\n", "utf-8")
    return record


def _read(arguments: argparse.Namespace) -> Record:
    """An earlier run, or what is named of it, shown again."""
    try:
        text = Path(arguments.source).read_text("utf-8")
        record = Record.from_json(json.loads(text))
    except OSError as error:
        arguments.refuse(f"argument --from: {error.strerror}: {arguments.source!r}")
    except (ValueError, KeyError, TypeError):
        arguments.refuse(f"argument --from: {arguments.source!r} was not written by --json")
    if arguments.questions and "all" not in arguments.questions:
        record.answers = [each for each in record.answers if each.key in arguments.questions]
        record.failures = {k: v for k, v in record.failures.items() if k in arguments.questions}
    print(tables.heading(record.surroundings))
    for answer in record.answers:
        print(f"\n{tables.answer_text(answer)}\n")
    return record


def _effort(arguments: argparse.Namespace) -> Effort:
    quick = arguments.quick or not arguments.questions
    rounds = arguments.rounds or (_QUICK_ROUNDS if quick else Effort.rounds)
    return Effort(rounds, Effort.seed if arguments.seed is None else arguments.seed, quick)


def _wanted(arguments: argparse.Namespace) -> list[str]:
    known = catalogue.known()
    if "all" in arguments.questions:
        return known
    named = arguments.questions or catalogue.LOOK
    return [key for key in known if key in named]


def _command(arguments: argparse.Namespace, effort: Effort) -> str:
    """The command that does the same again, defaults spelt out."""
    words = ["python -m geventconnpool bench", *arguments.questions]
    words += [f"--rounds {effort.rounds}", f"--seed {effort.seed}"]
    return " ".join([*words, "--quick"] if arguments.quick else words)


def _more(record: Record) -> str:
    """How to see more than the short look has shown."""
    lines = [f"{_MORE}, or one or more of", f"{', '.join(catalogue.known())}."]
    if record.surroundings.missing:
        lines += [f"To compare with {', '.join(record.surroundings.missing)}: {_EXTRA}"]
    return "\n".join(["", *lines])
