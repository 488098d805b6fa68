"""A backend that remembers everything, and hosts that are stopped whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import recording_server
from gevent import monkey
from hosting import Host
from witness import Witness

sys.path.insert(0, str(Path(__file__).parents[1] / "documentation"))
import examples

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if monkey.is_module_patched("socket"):
        skip = pytest.mark.skip(reason="hosts patch for themselves: the unpatched run tests them")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


@pytest.fixture
def witness() -> Iterator[Witness]:
    """Tells what the backend of this test has seen."""
    command = [sys.executable, "-S", recording_server.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        witness = Witness(json.loads(server.stdout.readline()))
        yield witness
        witness.close()  # which ends the server


@pytest.fixture
def start_host(witness: Witness, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Starts a host whose backend is that of the test; the log of each is shown on failure."""
    hosts = []

    def start(*command: str, folder: Path = tmp_path, **environment: str) -> Host:
        path = os.pathsep.join(map(str, (folder, HERE / "apps", ROOT)))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GEVENT")}
        environment = {
            **inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1",
            "XDG_RUNTIME_DIR": str(tmp_path),  # gunicorn puts a socket there
            "BACKEND_PORT": str(witness.port), **environment,
        }  # fmt: skip
        hosts.append(Host(command, folder, tmp_path / f"host-{len(hosts)}.log", environment))
        return hosts[-1]

    yield start
    for host in hosts:
        host.kill()
        print(f"--- log of {host.name}\n{host.log}")


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the files that a page shows into a folder, which it returns."""

    def write(name: str) -> Path:
        for block in examples.blocks(Path("docs", "howto", f"{name}.rst")):
            if block.caption:
                (tmp_path / block.caption).write_text(block.text)
        return tmp_path

    return write
