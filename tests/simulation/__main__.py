"""The proof that nothing is lost, nothing dirty, nothing mixed up: ``python -m tests.simulation``.

Per change it takes some minutes on two cores, ``--nightly`` many hours. ``--replay`` plays one
run again, as the line under a failure says. Ends with status 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import parts
from tally import Tally, Task


def main() -> int:
    """Run what the command line asks for; the exit status."""
    arguments = _arguments()
    if arguments.replay:
        return replay(arguments.replay)
    chosen = arguments.only or list(parts.PARTS)
    tasks = [task for name in chosen for task in parts.PARTS[name](arguments.nightly)]
    return prove(tasks, arguments.processes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--nightly", action="store_true", help="the long form")
    parser.add_argument(
        "--only", nargs="+", choices=list(parts.PARTS), metavar="PART",
        help=f"only these parts of it: {', '.join(parts.PARTS)}",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), metavar="N", help="default: one per core"
    )
    parser.add_argument("--replay", metavar="LINE", help="play one run again: 'SCENARIO PLAN'")
    return parser.parse_args()


def replay(line: str) -> int:
    """Play one run again; 1 if it goes wrong again."""
    failures = parts.replay(line).failures
    print("violated" if failures else "all is well")
    return bool(failures)


def prove(tasks: list[Task], processes: int | None) -> int:
    """Run all *tasks* and print what they count; 1 if anything failed."""
    began = time.monotonic()
    tallies = {task.part: Tally() for task in tasks}
    # Each process starts afresh: nothing of this one leaks into a run.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as workers:
        jobs = {workers.submit(task.run, *task.args): task for task in tasks}
        for job in as_completed(jobs):
            tallies[jobs[job].part].add(job.result())
    for part, tally in tallies.items():
        print_tally(part, tally)
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    for failure in failures[:5]:
        print(f"\n{failure}")
    runs = sum(tally.counts["runs"] for tally in tallies.values())
    seconds = time.monotonic() - began
    print(f"\n{runs:,} runs in {seconds:.0f} s on {processes} processes, ", end="")
    print(f"violations: {len(failures)}")
    return bool(failures) or not any(tally.counts for tally in tallies.values())


def print_tally(part: str, tally: Tally) -> None:
    """One line for each part."""
    counts = ", ".join(f"{count:,} {what}" for what, count in tally.counts.items())
    print(f"{part}: {counts}, violations: {len(tally.failures)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
