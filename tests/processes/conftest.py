"""A server in another process, pools of clients that talk a lot, and scripts of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import recording_server
from gevent import monkey
from relatives import ClientPool, Report

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Tells what the recording server has seen so far."""
    command = [sys.executable, "-S", recording_server.__file__]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    report = Report(json.loads(server.stdout.readline()))
    yield report
    report.close()
    server.wait()
    server.stdout.close()


@pytest.fixture
def ports(report: Report) -> dict[str, int]:
    return report.ports


@pytest.fixture
def make_pool(ports: dict[str, int]) -> Iterator[Callable[..., ClientPool]]:
    """Makes pools that are open and warm, and closes them in the end."""
    pools = []

    def make(size: int = 2, warm: bool = True, **options: Any) -> ClientPool:
        pool = ClientPool(ports, size, **options)
        pools.append(pool)
        if warm:
            pool.wait_ready(timeout=10)
        return pool

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def run_script(ports: dict[str, int], tmp_path: Path) -> Callable[..., Any]:
    """Runs a program in a fresh interpreter."""
    patch = "from gevent import monkey; monkey.patch_all()" * monkey.is_module_patched("socket")

    def run_script(text: str, *flags: str) -> subprocess.CompletedProcess[str]:
        prelude = f"{patch}\nPORTS = {ports!r}\n"
        path = tmp_path / "program.py"
        path.write_text(prelude + text)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
        return subprocess.run(
            [sys.executable, *flags, str(path)],
            capture_output=True, text=True, timeout=60, env=environment,
        )  # fmt: skip

    return run_script
