"""The recipes of the how-to pages, as readers copy them: the definitions in the visible blocks."""

from __future__ import annotations

import ast
import functools
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "documentation"))
import examples

TLS = Path("docs/howto/tls.rst")
UNTRUSTED = Path("docs/howto/untrusted-peers.rst")

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)


@functools.cache
def recipes(page: Path) -> types.ModuleType:
    """A module of everything that the *page* shows how to define; what it runs is left out."""
    module = types.ModuleType(f"recipes_of_{page.stem.replace('-', '_')}")
    module.__file__ = str(examples.ROOT / page)
    for block in examples.blocks(page):
        if block.language == "python" and not block.hidden:
            tree = ast.parse("\n" * (block.line - 1) + block.text, module.__file__)
            tree.body = [node for node in tree.body if isinstance(node, _DEFINITIONS)]
            exec(compile(tree, module.__file__, "exec"), vars(module))
    return module


def source_of(page: Path, name: str) -> str:
    """The text of the class or function *name* as the *page* shows it."""
    for block in examples.blocks(page):
        if block.language == "python" and not block.hidden:
            for node in ast.parse(block.text).body:
                if getattr(node, "name", None) == name:
                    return str(ast.get_source_segment(block.text, node))
    raise LookupError(f"{page} does not define {name}")
