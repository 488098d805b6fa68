"""The house: a file imports only from rows above its own, or from its own folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import geventconnpool

PACKAGE = Path(geventconnpool.__file__).parent

ROWS = [
    ["stats"],
    ["errors", "events"],
    ["options"],
    ["core"],
    ["clock", "forks", "threads"],
    ["backoff", "herald", "timers", "reports"],
    ["retries"],
    ["transports"],
    ["lease"],
    ["maintenance"],
    ["desk"],
    ["control"],
    ["engine"],
    ["pool"],
    ["cluster"],
    ["drivers", "exporters"],
    ["testing"],
    ["cli"],
    ["__main__", "__init__"],
]
"""From the bottom of the house upwards. A folder is one place."""

ROW_OF = {place: number for number, row in enumerate(ROWS) for place in row}
FILES = sorted(PACKAGE.rglob("*.py"))
PURE = {"gevent", "greenlet", "time", "random", "logging", "socket", "select", "os", "threading"}


def place_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The modules that *path* imports when it runs; not those only for type checkers."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped.update(inner for each in node.body for inner in ast.walk(each))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from names if node.module == "geventconnpool" else [node.module or ""]


def inside(path: Path) -> Iterator[str]:
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "geventconnpool":
            yield rest.partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_below(path: Path) -> None:
    own = place_of(path)
    assert own in ROW_OF, f"{own} has no row in the house"
    if own in ("__init__", "__main__"):
        return
    for place in inside(path):
        if place == own or (own == "cli" and place in ("", "__version__")):
            continue
        assert place in ROW_OF, f"{path.name} imports {place!r}, which has no row"
        assert ROW_OF[place] < ROW_OF[own], f"{own} must not import {place}"


def test_the_house_has_files() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_core_knows_nothing_of_the_world(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & PURE


def test_the_package_itself_imports_no_driver() -> None:
    allowed = {"backoff", "errors", "events", "pool", "retries", "stats"}
    assert set(inside(PACKAGE / "__init__.py")) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 420, "a file this long has more than one duty"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            assert lines <= 30, f"{node.name} has {lines} lines"
