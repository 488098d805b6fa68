"""How the demo is watched: redrawn in place on a terminal, else a line each second."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from geventconnpool.cli.demo.clients import Tally
from geventconnpool.stats import PoolStats

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["PlainScreen", "QuietScreen", "Screen", "View", "duration", "make_screen"]


def duration(seconds: float | None) -> str:
    """*seconds* for people."""
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e3:.3f} ms"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


@dataclass(frozen=True)
class View:
    """What is to be seen at one moment."""

    elapsed: float
    seconds: float
    pool: str
    rates: str
    waits: str

    @classmethod
    def of(
        cls, elapsed: float, seconds: float, stats: PoolStats, tally: Tally, rate: float
    ) -> View:
        """Put the texts together. *rate* is in answers for each second."""
        failed = tally.failures.total() + tally.unexpected.total()
        opened = stats.connects - stats.connect_errors
        waits = tally.waits
        return cls(
            elapsed,
            seconds,
            str(stats),
            f"{rate:,.0f} answers/s; {tally.right:,} right, {tally.wrong:,} wrong, "
            f"{failed:,} failed; {opened:,} opened",
            f"p50 {duration(waits.quantile(0.5))}, p99 {duration(waits.quantile(0.99))}, "
            f"max {duration(waits.longest)}",
        )


class Screen(Protocol):
    """Where the demo is shown."""

    interval: float
    """Seconds between two calls of ``show``."""

    def show(self, view: View) -> None:
        """Show how it is now."""

    def note(self, text: str) -> None:
        """Tell of something that happened, to stay."""

    def close(self) -> None:
        """Nothing more will be shown."""


class QuietScreen:
    """Shows nothing."""

    interval = 1.0

    def show(self, view: View) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class PlainScreen:
    """A line each second."""

    interval = 1.0

    def __init__(self, stream: IO[str], on_closed: Callable[[], None]) -> None:
        self._stream = stream
        self._on_closed = on_closed

    def show(self, view: View) -> None:
        """One line."""
        self.note(f"{view.elapsed:5.1f} s | {view.pool} | {view.rates} | waits {view.waits}")

    def note(self, text: str) -> None:
        """One line, at once."""
        try:
            print(text, file=self._stream, flush=True)
        except OSError:  # the reader, say `head`, has enough
            self._on_closed()

    def close(self) -> None:
        """Nothing is left to do."""


class LiveScreen:
    """A progress bar and three lines, redrawn in place; notes scroll by above them."""

    interval = 0.125

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        # Refreshed by our own greenlet: its own thread would draw while we change things.
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)
        self._live.start()

    def show(self, view: View) -> None:
        """Redraw."""
        self._live.update(_drawing(view), refresh=True)

    def note(self, text: str) -> None:
        """A line above."""
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._live.stop()


def _drawing(view: View) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    time = Table.grid(padding=(0, 1))
    done = min(view.elapsed, view.seconds)
    time.add_row(
        ProgressBar(total=view.seconds, completed=done, width=40),
        Text(f"{view.elapsed:.1f} of {view.seconds:g} s"),
    )
    drawing = Table.grid(padding=(0, 2))
    drawing.add_column(style="bold", no_wrap=True, min_width=5)
    drawing.add_column(no_wrap=True, overflow="ellipsis")
    drawing.add_row("time", time)
    for name, text in (("pool", view.pool), ("rates", view.rates), ("waits", view.waits)):
        drawing.add_row(name, Text(text))
    return drawing


def make_screen(*, json: bool, on_closed: Callable[[], None]) -> Screen:
    """The best there is for the place the output goes to."""
    stream = sys.stderr if json else sys.stdout
    if stream is None or not stream.isatty():
        return QuietScreen() if json or stream is None else PlainScreen(stream, on_closed)
    try:
        from rich.console import Console
    except ImportError:
        return PlainScreen(stream, on_closed)
    console = Console(file=stream)
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainScreen(stream, on_closed)
    return LiveScreen(console)
