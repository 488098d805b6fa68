"""What a run of the demo came to, and whether it was good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from geventconnpool.cli.demo.clients import Tally
from geventconnpool.cli.demo.screen import duration
from geventconnpool.cli.demo.supervisor import Restart
from geventconnpool.stats import PoolStats

__all__ = [
    "RestartSummary",
    "Summary",
    "WaitSummary",
    "of_pool",
    "of_requests",
    "of_restarts",
    "usable",
]


@dataclass(frozen=True)
class WaitSummary:
    """How long the acquires waited, in seconds."""

    count: int = 0
    p50: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class RestartSummary:
    """One end of the server: when, how long it was down, how soon the pool was full."""

    at: float
    by: str
    down: float | None
    full_after: float | None


@dataclass(frozen=True)
class Summary:
    """The whole run."""

    seconds: float
    seed: int
    size: int
    clients: int
    tls: bool = False
    calm: bool = False
    interrupted: bool = False
    requests: int = 0
    right: int = 0
    wrong: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    unexpected: Mapping[str, int] = field(default_factory=dict)
    """Failures by exceptions that no user should see."""
    opened: int = 0
    connect_errors: int = 0
    closed: Mapping[str, int] = field(default_factory=dict)
    """By reason, without the connects that failed."""
    waits: WaitSummary = field(default_factory=WaitSummary)
    restarts: tuple[RestartSummary, ...] = ()
    most_at_server: int = 0
    """The most connections that the server counted at once."""
    full_at_end: bool = False
    open_at_end: int = 0
    repairs: int = 0
    leaks: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What the package logged as a warning or worse, the last of them."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What must not be, in one line each; empty after a good run."""
        found = []
        if self.wrong:
            found.append(f"{self.wrong:,} answers were wrong")
        if self.most_at_server > self.size:
            found.append(
                f"the server counted {self.most_at_server} connections at once, "
                f"{self.most_at_server - self.size} more than the size of the pool"
            )
        if not self.full_at_end:
            found.append(f"the pool was not full at the end: {self.open_at_end} of {self.size}")
        if self.unexpected:
            found.append(f"requests failed unexpectedly: {_listed(self.unexpected)}")
        if self.requests and not self.right:
            found.append("no answer was right")
        return tuple(found)

    @property
    def ok(self) -> bool:
        """Whether the run was good."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"ok": self.ok, "problems": list(self.problems), **asdict(self)}

    def __str__(self) -> str:
        lines = [self._title(), *(f"  {name:<13}{text}" for name, text in self._rows())]
        return "\n".join([*lines, *self._verdict()])

    def _title(self) -> str:
        kind = ", calm" * self.calm + ", TLS" * self.tls + ", interrupted" * self.interrupted
        return (
            f"{self.seconds:.1f} s, {self.clients} clients, {self.size} connections, "
            f"seed {self.seed}{kind}"
        )

    def _rows(self) -> list[tuple[str, str]]:
        failed = sum(self.failures.values()) + sum(self.unexpected.values())
        rows = [
            (
                "requests",
                f"{self.requests:,}: {self.right:,} right, {self.wrong:,} wrong, {failed:,} failed",
            ),
            ("failures", _listed({**self.failures, **self.unexpected})),
            ("opened", f"{self.opened:,}, and {self.connect_errors:,} attempts failed"),
            ("closed", _listed(self.closed)),
            ("waits", _wait_text(self.waits)),
        ]
        rows += [("restart", _restart_text(restart)) for restart in self.restarts]
        rows.append(("at once", f"{self.most_at_server} at most, as the server counts"))
        rows.append(("faults", _listed(self.faults)))
        if self.repairs or self.leaks:
            rows.append(("pool", f"{self.repairs} repairs, {self.leaks} leaks"))
        rows += [("warning", text) for text in self.warnings]
        return rows

    def _verdict(self) -> list[str]:
        if not self.ok:
            return [f"WRONG: {problem}" for problem in self.problems]
        return [
            f"GOOD: no wrong answer, never more than {self.size} connections, "
            "and the pool was full at the end"
        ]


def usable(stats: PoolStats) -> int:
    """How many connections there are, ready or in use."""
    return stats.idle + stats.active + stats.checking


def of_requests(tally: Tally) -> dict[str, Any]:
    """The part of a summary that the clients know."""
    waits = tally.waits
    longest = waits.longest if waits.count else None
    return {
        "requests": tally.requests,
        "right": tally.right,
        "wrong": tally.wrong,
        "failures": dict(tally.failures),
        "unexpected": dict(tally.unexpected),
        "waits": WaitSummary(waits.count, waits.quantile(0.5), waits.quantile(0.99), longest),
    }


def of_pool(stats: PoolStats) -> dict[str, Any]:
    """The part of a summary that the pool knows."""
    return {
        "opened": stats.connects - stats.connect_errors - stats.connecting,
        "connect_errors": stats.connect_errors,
        "closed": {k: v for k, v in stats.closes.items() if v and k != "connect_failed"},
        "full_at_end": usable(stats) == stats.size,
        "open_at_end": usable(stats),
        "repairs": stats.repairs,
        "leaks": stats.leaks,
    }


def of_restarts(restarts: Sequence[Restart], began: float) -> dict[str, Any]:
    """The part of a summary that the supervisor knows."""
    return {
        "restarts": tuple(
            RestartSummary(
                at=restart.down_at - began,
                by=restart.by,
                down=None if restart.up_at is None else restart.up_at - restart.down_at,
                full_after=restart.seconds_to_full,
            )
            for restart in restarts
        )
    }


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    texts = [f"{name.replace('_', ' ')} {count:,}" for name, count in ordered if count]
    return ", ".join(texts) or "none"


def _wait_text(waits: WaitSummary) -> str:
    return f"p50 {duration(waits.p50)}, p99 {duration(waits.p99)}, max {duration(waits.max)}"


def _restart_text(restart: RestartSummary) -> str:
    by = "" if restart.by == "schedule" else "ended by somebody else, "
    if restart.down is None:
        return f"at {restart.at:.1f} s: {by}not started again"
    full = (
        "not full before the next"
        if restart.full_after is None
        else f"full {duration(restart.full_after)} after the restart"
    )
    return f"at {restart.at:.1f} s: {by}down {restart.down:.1f} s, {full}"
