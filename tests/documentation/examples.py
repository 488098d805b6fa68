"""Find and run the examples of README.rst and docs/, page by page, as they stand.

``python tests/documentation/examples.py docs/tutorial.rst`` runs one page, and with ``demo`` or
``tests`` instead of a page it prints that command of the README. This module imports nothing but
the standard library, so that a page can be patched before all else.

What the pages may use:

* ``.. code-block:: python`` runs, in order, in one namespace for the page.
* the same with ``:caption: app.py`` runs as the module ``app``, which later blocks can import.
* ``.. invisible-code-block: python`` is a comment to readers and runs like the others.
* ``.. code-block:: output`` is what was printed since the last such block (``...`` is anything).
* ``.. stand-in: celery`` before a block says that a stand-in plays the host it imports; the page
  puts it into ``sys.modules`` beforehand (see ``peers.stand_in``).
* ``console`` blocks are commands, ``ini`` and ``text`` blocks are never run, others are refused.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"python", "output", "console", "ini", "text"}
OURS = {"gevent", "geventconnpool", "greenlet", "peers"}

_VISIBLE = re.compile(r"^(?P<indent>\s*)\.\. code-block::(?P<language>.*)$")
_HIDDEN = re.compile(r"^(?P<indent>\s*)\.\. invisible-code-block:(?P<language>.*)$")
_STAND_IN = re.compile(r"^\s*\.\. stand-in: (?P<names>[\w., ]+)$")
_OPTION = re.compile(r"^\s+:(?P<name>\w+):\s*(?P<value>.*)$")


@dataclass(frozen=True)
class Block:
    """One block of a page; ``line`` is the number of the first line of its text."""

    page: Path
    line: int
    language: str
    text: str
    hidden: bool = False
    caption: str = ""
    stand_ins: frozenset[str] = field(default_factory=frozenset)


def pages() -> list[Path]:
    """README.rst and every page of the docs, as paths from the root of the project."""
    found = [path for path in ROOT.joinpath("docs").rglob("*.rst") if "_build" not in path.parts]
    return [Path("README.rst"), *sorted(path.relative_to(ROOT) for path in found)]


def blocks(page: Path) -> list[Block]:
    """The blocks of one page, in order, the hidden ones too."""
    lines = ROOT.joinpath(page).read_text(encoding="utf-8").splitlines()
    return list(_blocks(page, lines))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    stand_ins: frozenset[str] = frozenset()
    at = 0
    while at < len(lines):
        if match := _STAND_IN.match(lines[at]):
            stand_ins = frozenset(match["names"].replace(",", " ").split())
        match = _VISIBLE.match(lines[at]) or _HIDDEN.match(lines[at])
        at += 1
        if match is None:
            continue
        end = _end_of_body(lines, at, len(match["indent"]))
        options, first = _options(lines, at, end)
        while first < end and not lines[first].strip():
            first += 1
        body = lines[first:end]
        margin = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
        yield Block(
            page=page,
            line=first + 1,
            language=match["language"].strip(),
            text="\n".join(line[margin:] for line in body).rstrip() + "\n",
            hidden="invisible" in match[0],
            caption=options.get("caption", ""),
            stand_ins=stand_ins,
        )
        stand_ins, at = frozenset(), end


def _end_of_body(lines: list[str], at: int, indent: int) -> int:
    """The number of the first line at or after *at* that no longer belongs to the directive."""
    while at < len(lines):
        text = lines[at]
        if text.strip() and len(text) - len(text.lstrip()) <= indent:
            return at
        at += 1
    return at


def _options(lines: list[str], at: int, end: int) -> tuple[dict[str, str], int]:
    options = {}
    while at < end and (match := _OPTION.match(lines[at])):
        options[match["name"]] = match["value"].strip()
        at += 1
    return options, at


def commands(page: Path) -> list[str]:
    """The shell commands of a page, in order: the lines that begin with a ``$`` prompt."""
    shown = [block.text for block in blocks(page) if block.language == "console"]
    return [line[2:] for text in shown for line in text.splitlines() if line.startswith("$ ")]


def readme_commands() -> dict[str, str]:
    """The two commands of README.rst: ``demo`` installs and runs it, ``tests`` passes the tests."""
    demo, tests = commands(Path("README.rst"))
    return {"demo": demo, "tests": tests}


def third_party(block: Block) -> set[str]:
    """Names of packages that a visible block imports and that are neither ours nor Python's."""
    names = set()
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names - OURS - sys.stdlib_module_names


class Page:
    """Runs the blocks of one page in one namespace. A wrong example raises."""

    def __init__(self, page: Path) -> None:
        self.name = str(page)
        self.blocks = blocks(page)
        self.module = types.ModuleType("__main__")
        self.modules: set[str] = set()
        self.printed = io.StringIO()

    def run(self) -> int:
        """Run every block and return how many were Python."""
        sys.modules["__main__"] = self.module
        with contextlib.redirect_stdout(self.printed):
            for block in self.blocks:
                if block.language == "python":
                    self._execute(block)
                elif block.language == "output":
                    self._compare(block)
        self._close_pools()
        return sum(block.language == "python" for block in self.blocks)

    def _close_pools(self) -> None:
        """A page need not end every example with close()."""
        from geventconnpool import ConnectionPool

        for module in [self.module, *map(sys.modules.get, sorted(self.modules))]:
            for value in list(vars(module).values()):
                if isinstance(value, ConnectionPool):
                    value.close(timeout=1)

    def _execute(self, block: Block) -> None:
        self._check_imports(block)
        # Blank lines in front: tracebacks then name the page and the line where the code stands.
        code = compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec")
        exec(code, self._module_for(block).__dict__)

    def _module_for(self, block: Block) -> types.ModuleType:
        if not block.caption.endswith(".py"):
            return self.module
        name = block.caption.removesuffix(".py")
        self.modules.add(name)
        return sys.modules.setdefault(name, types.ModuleType(name))

    def _check_imports(self, block: Block) -> None:
        if block.hidden:
            return
        foreign = third_party(block) - self.modules
        where = f"{block.page}:{block.line}"
        if foreign != block.stand_ins:
            raise SystemExit(f"{where}: imports {foreign}, says stand-ins {set(block.stand_ins)}")
        for name in foreign:
            if not getattr(sys.modules.get(name), "stand_in", False):
                raise SystemExit(f"{where}: no stand-in for {name} was put into sys.modules")

    def _compare(self, block: Block) -> None:
        printed = self.printed.getvalue()
        self.printed.seek(0)
        self.printed.truncate()
        pattern = ".*?".join(map(re.escape, block.text.strip().split("...")))
        if not re.fullmatch(pattern, printed.strip(), re.DOTALL):
            raise SystemExit(
                f"{block.page}:{block.line}: the page shows\n{block.text}\nbut it was\n{printed}"
            )


def main(what: str) -> None:
    """Run the page *what*, or print the command of that name."""
    if what in readme_commands():
        print(readme_commands()[what])
        return
    if os.environ.get("GEVENTCONNPOOL_TEST_PATCHED") == "1":
        from gevent import monkey

        monkey.patch_all()
    print(f"{Page(Path(what)).run()} blocks ran")


if __name__ == "__main__":
    main(sys.argv[1])
