"""Which options each command has, and what may be said with them."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from geventconnpool.cli.arguments import Parser, module_name, one_of, seconds, whole_number
from geventconnpool.cli.bench import catalogue

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

__all__ = ["add_bench", "add_demo", "add_demo_server", "add_diagnose"]

_LARGEST = 10_000
_DAY = 86_400.0

_DEMO = """\
Start a server in a process of its own, open a pool to it and let clients loose on the
pool, while the server is killed and restarted, cuts connections and answers late, and
clients are killed, time out and fail half-way.

Exit status: 0 if no answer was wrong, the server never counted more than --size
connections at once and the pool was full at the end; else 1; 2 for wrong options.
Ctrl-C ends it early, with the summary so far; a second one does not wait for the pool.

By hand: `kill -9` the server whose number the demo shows. After --restart-after seconds
it is started again on the same port.
"""

_BENCH = """\
Tell what the pool costs on this machine, beside the least that anything of its kind can
cost and beside the other pools that are installed. Every figure is a ratio of things
measured side by side in one process, the median over many short rounds.

Without a question: a short look at everyday use. The questions are
{questions}.
Other pools to compare with: pip install 'geventconnpool[bench]'

Exit status: 0 if all was answered, 1 if not (with --check also if a bar is missed),
2 for wrong options or a missing library.
"""

_DIAGNOSE = """\
Tell the versions in use, what gevent has monkey-patched, and which known client library
was imported too early or blocks. Nothing is patched by this command itself: name your
program's modules with --import to see what they do. Within a program call
geventconnpool.cli.diagnose.diagnose() at the end of your imports.

Exit status: 0 if nothing is wrong, 1 if something is, 2 for wrong options.
"""


def _add(commands: Commands, name: str, module: str, help: str, text: str) -> Parser:
    parser = commands.add_parser(
        name,
        help=help,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module=module, refuse=parser.error)
    return parser


def add_bench(commands: Commands) -> None:
    """What the pool costs."""
    known, number = catalogue.known(), whole_number
    text = _BENCH.format(questions=textwrap.fill(", ".join([*known, "all"]), 88))
    parser = _add(
        commands,
        "bench",
        "geventconnpool.cli.bench.run",
        "what the pool costs on this machine",
        text,
    )
    add = parser.add_argument
    add("questions", type=one_of([*known, "all"]), nargs="*", metavar="QUESTION")
    add("--rounds", type=number(1, 10_000), help="default: 60; 20 for a short look")
    add("--seed", type=number(0, 10**18 - 1), help="of the order in each round (default: 1)")
    add("--quick", action="store_true", help="leave out what takes long")
    add("--check", action="store_true", help="exit status 1 if a bar is missed")
    add("--json", metavar="FILE", help="write all of it into FILE")
    add("--plot", metavar="FOLDER", help="draw it, as SVG and PNG (needs matplotlib)")
    add("--from", dest="source", metavar="FILE", help="show a run again that --json has written")


def add_demo(commands: Commands) -> None:
    """A pool under load, with faults."""
    parser = _add(
        commands, "demo", "geventconnpool.cli.demo.run", "a pool under load, with faults", _DEMO
    )
    number, span = whole_number, seconds
    add = parser.add_argument
    add("--seconds", type=span(0.1, _DAY), default=15.0, help="how long (default: 15)")
    add("--size", type=number(1, _LARGEST), default=20, help="size of the pool (default: 20)")
    add("--clients", type=number(1, _LARGEST), default=200, help="how many (default: 200)")
    add(
        "--seed",
        type=number(0, 10**18 - 1),
        help="makes the faults come in the same order again (default: a new one)",
    )
    add("--tls", action="store_true", help="over TLS, with a certificate made on the spot")
    add("--calm", action="store_true", help="no faults")
    add("--json", action="store_true", help="write nothing but one JSON object")
    add(
        "--restart-after",
        type=span(0.0, 3600.0),
        default=10.0,
        metavar="SECONDS",
        help="restart a server that somebody else killed (default: 10)",
    )


def add_demo_server(commands: Commands) -> None:
    """The demo's server alone."""
    parser = _add(
        commands,
        "demo-server",
        "geventconnpool.cli.demo.server",
        "the demo's server alone, for trying things by hand",
        "Serve the demo's line protocol on 127.0.0.1 until Ctrl-C.",
    )
    number = whole_number
    add = parser.add_argument
    add("--port", type=number(0, 65_535), default=0, help="default: a free one")
    add("--certificate", metavar="FILE", help="speak TLS, with this certificate and --key")
    add("--key", metavar="FILE")
    add("--figures", metavar="DIRECTORY", help="where to leave the counts for the demo")
    add("--seed", type=number(0, 10**18 - 1), default=0, help=argparse.SUPPRESS)
    add("--leash", action="store_true", help=argparse.SUPPRESS)


def add_diagnose(commands: Commands) -> None:
    """Versions, patching, clients."""
    parser = _add(
        commands,
        "diagnose",
        "geventconnpool.cli.diagnose",
        "versions, what is monkey-patched, which client was imported too early",
        _DIAGNOSE,
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    parser.add_argument(
        "--import",
        dest="modules",
        type=module_name,
        action="append",
        default=[],
        metavar="MODULE",
        help="import this first; may be given several times",
    )
