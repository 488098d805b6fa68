"""One run of the benchmark: where and how it was made, and what came out. Kept as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import gevent
import greenlet

from geventconnpool import __version__
from geventconnpool.cli.bench.answers import Answer, Bar

__all__ = ["Record", "Surroundings", "surroundings"]

PEERS = (
    *("psycopg-pool", "SQLAlchemy", "redis", "urllib3", "httpcore", "DBUtils"),
    *("generic-connection-pool", "geventhttpclient", "pymongo", "tenacity", "stamina", "backoff"),
)
"""The distributions that the questions compare with."""


@dataclass(frozen=True)
class Surroundings:
    """What a figure means nothing without."""

    command: str
    date: str
    machine: str
    versions: dict[str, str]
    peers: dict[str, str]
    """Those installed, with their versions."""
    missing: list[str]
    """Those that are not."""


def surroundings(command: str) -> Surroundings:
    """This machine, these versions, now."""
    found = {name: _version(name) for name in PEERS}
    return Surroundings(
        command,
        datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {_system()}",
        {
            "geventconnpool": __version__,
            platform.python_implementation(): platform.python_version(),
            "gevent": gevent.__version__,
            "greenlet": greenlet.__version__,
        },
        {name: version for name, version in found.items() if version},
        [name for name, version in found.items() if not version],
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _system() -> str:
    """Without what one machine's builder has put behind the release."""
    return f"{platform.system()} {platform.release().partition('-')[0]}"


@dataclass
class Record:
    """All of one run."""

    surroundings: Surroundings
    answers: list[Answer] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """The questions without an answer, and why."""

    @property
    def bars(self) -> Iterator[Bar]:
        """Those of all answers."""
        return (bar for answer in self.answers for bar in answer.bars)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Record:
        return cls(
            Surroundings(**found["surroundings"]),
            [Answer.from_json(each) for each in found["answers"]],
            dict(found["failures"]),
        )
