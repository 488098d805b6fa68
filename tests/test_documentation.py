"""Every example in README.rst and docs/ is run, and the tables agree with the package."""

from __future__ import annotations

import configparser
import dataclasses
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import geventconnpool
from geventconnpool import cli
from geventconnpool.testing import FakeConnection, FakePeer, RecordingListener, Simulation

sys.path.insert(0, str(Path(__file__).parent / "documentation"))
import examples

SECONDS = 60
DEMO = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/python -m geventconnpool demo"
TESTS = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/python -m tests"

IN_WORDS = {
    "backoff": "``Backoff()``",
    "min_size": "``size``",
    "name": '``"pool-1"``, ...',
}
"""Defaults for which the signature says ``None``."""

PAGES = examples.pages()
WITH_CODE = [page for page in PAGES if any(b.language == "python" for b in examples.blocks(page))]


def _text(page: str) -> str:
    return examples.ROOT.joinpath(page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", WITH_CODE, ids=str)
def test_examples_run_and_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """Each page in a process of its own, with a bound, and with nothing said on stderr."""
    home = Path(geventconnpool.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "default", examples.__file__, str(page)],
        env={**os.environ, "PYTHONPATH": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    if done.returncode or done.stderr:
        pytest.fail(f"status {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
    expected = sum(block.language == "python" for block in examples.blocks(page))
    assert done.stdout == f"{expected} blocks ran\n"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_block_is_skipped(page: Path) -> None:
    """Whatever looks like code on a page is a block that the collector found and knows."""
    text = _text(str(page))
    found = examples.blocks(page)

    directives = re.findall(r"^\s*\.\. (?:[\w-]*code[\w-]*|literalinclude|doctest):", text, re.M)
    assert len(found) == len(directives)
    assert [b.line for b in found if b.language not in examples.LANGUAGES] == []
    assert [b.line for b in found if not b.text.strip()] == []
    assert not re.search(r"^(?!\s*\.\. ).*::$", text, re.M), "a literal block would not be run"
    assert not re.search(r"^\s*>>> ", text, re.M), "a doctest would not be run"
    if any(block.language == "output" for block in found):
        assert page in WITH_CODE


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_hidden_setup_is_told_apart_from_comments(page: Path) -> None:
    """A misspelt comment would be skipped in silence."""
    text = _text(str(page))

    comments = re.findall(r"^\s*\.\. (?![\w:+-]+::|_|\[|\|)(.*)$", text, re.M)
    known = ("invisible-code-block: python", "stand-in: ")
    assert [comment for comment in comments if not comment.startswith(known)] == []


def test_pages_with_code_are_many() -> None:
    """The collector itself still collects."""
    assert Path("README.rst") in WITH_CODE
    assert Path("docs/tutorial.rst") in WITH_CODE
    assert len(WITH_CODE) >= 12


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_and_configurations_can_be_read(page: Path) -> None:
    for block in examples.blocks(page):
        if block.language == "console":
            assert block.text.startswith("$ ")
        if block.language == "ini":
            configparser.ConfigParser().read_string(block.text)
    for command in examples.commands(page):
        assert shlex.split(command)


def test_commands_of_the_package_exist() -> None:
    shown = "\n".join(command for page in PAGES for command in examples.commands(page))

    for name in re.findall(r"-m geventconnpool (\S+)", shown):
        assert cli.main([name, "--help"]) == 0


def test_readme_shows_the_two_commands() -> None:
    assert examples.readme_commands() == {"demo": DEMO, "tests": TESTS}


def test_readme_needs_no_sphinx() -> None:
    """PyPI shows it, and knows neither roles nor directives of Sphinx."""
    text = _text("README.rst")

    assert not re.search(r":[\w:]+:`", text)
    assert set(re.findall(r"^\s*\.\. ([\w-]+)::", text, re.M)) == {"code-block"}


def test_readme_renders_without_complaint() -> None:
    core = pytest.importorskip("docutils.core")

    core.publish_string(
        _text("README.rst"),
        writer="html5",
        settings_overrides={"report_level": 1, "halt_level": 1, "warning_stream": False},
    )


def _rows(page: str, section: str = "") -> dict[str, str]:
    """The first cells of the list tables of a page, or of one section, with the second ones."""
    text = _text(page)
    if section:
        _, _, text = text.partition(f"\n{section}\n{'-' * len(section)}\n")
        text = re.split(r"\n---+\n", text)[0]
    return dict(re.findall(r"^   \* - ``([^`]+)``\n     - (.*)$", text, re.M))


def test_every_option_stands_in_the_reference_with_its_default() -> None:
    shown = _rows("docs/reference/options.rst")
    parameters = dict(inspect.signature(geventconnpool.ConnectionPool.__init__).parameters)
    del parameters["self"]

    assert set(shown) == set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty:
            assert shown[name] == "required"
        else:
            assert shown[name] == IN_WORDS.get(name, f"``{_in_code(parameter.default)}``")


def _in_code(default: object) -> str:
    """A default as somebody would write it."""
    if isinstance(default, str):
        return f'"{default}"'
    if isinstance(default, tuple):
        names = ", ".join(each.__name__ for each in default)
        return f"({names},)" if len(default) == 1 else f"({names})"
    return repr(default)


def test_every_statistic_stands_in_the_reference() -> None:
    fields = {field.name for field in dataclasses.fields(geventconnpool.PoolStats)}

    assert set(_rows("docs/reference/stats.rst")) == fields


def test_every_close_reason_stands_in_the_reference() -> None:
    shown = _rows("docs/reference/events.rst", "Why a connection was closed")

    healthy = {each.value: "yes" if each.healthy else "no" for each in geventconnpool.CloseReason}
    assert shown == healthy


def test_every_event_field_stands_in_the_reference() -> None:
    fields = {field.name for field in dataclasses.fields(geventconnpool.Event)}

    assert set(_rows("docs/reference/events.rst", "Fields")) == fields


def test_every_kind_of_event_stands_in_the_reference_with_its_fields() -> None:
    shown = {
        kind: set(re.findall(r"``(\w+)``", fields))
        for kind, fields in _rows("docs/reference/events.rst", "Kinds").items()
    }
    told: dict[str, set[str]] = {}

    for event in _a_life_with_everything():
        given = {name for name, value in dataclasses.asdict(event).items() if value is not None}
        told.setdefault(event.kind, set()).update(given - {"kind", "pool"})

    assert told == shown


def _a_life_with_everything() -> RecordingListener:
    """The events of a pool to which everything happens that a listener can hear of."""
    events = RecordingListener()
    with Simulation() as sim:
        peer = FakePeer()
        pool = _PingPool(peer, 2, keepalive=10, leak_threshold=5, listeners=[events])
        pool.wait_ready()
        with pool.get():
            sim.advance(7)
        sim.advance(30)
        peer.restart(downtime=20)
        with pytest.raises(geventconnpool.PoolTimeout), pool.get(timeout=0), pool.get(timeout=0):
            pool.acquire(timeout=0)
        sim.advance(60)
        pool.pause()
        pool.drain()
        pool.resume()
        pool.resize(3)
        pool.close()
    return events


class _PingPool(geventconnpool.ConnectionPool[FakeConnection]):
    def __init__(self, peer: FakePeer, size: int, **options: Any) -> None:
        super().__init__(size, **options)
        self.peer = peer

    def _new_connection(self) -> FakeConnection:
        return self.peer.connect()

    def _keepalive(self, c: FakeConnection) -> None:
        c.ping()


def test_every_public_name_stands_in_the_reference() -> None:
    page = _text("docs/reference/api.rst")
    documented = set(re.findall(r"^\.\. auto\w+:: geventconnpool\.(\w+)$", page, re.M))

    assert documented == set(geventconnpool.__all__)


def test_every_part_of_the_package_stands_in_the_architecture() -> None:
    package = Path(geventconnpool.__file__).parent
    files = {path.stem for path in package.glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

    shown = set(re.findall(r"``([\w/]+)``", _text("docs/explanation/architecture.rst")))
    assert files | folders <= shown
