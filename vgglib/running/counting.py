"""How far a long count is: a bar in a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

from vgglib.running.progress import LINE_EVERY_SECONDS, minutes


class Count:
    """Keeps count and shows nothing; the displays below build on it. Use as a context, and call it with how many
    things are done, and of how many.

    What is done at the first call was done before, and counts in no rate.
    """

    def __init__(self, things: str = "images"):
        self.things = things
        self.done = self.total = self.before = 0
        self.started: float | None = None

    def __call__(self, done: int, total: int) -> None:
        if self.started is None:
            self.started, self.before = time.monotonic(), done
        self.done, self.total = done, total
        self.show()

    def rate(self) -> float:
        """Things a second."""
        elapsed = time.monotonic() - self.started
        return (self.done - self.before) / elapsed if elapsed > 0 else 0.0

    def text(self) -> str:
        """Number, rate and remaining time in words."""
        rate, text = self.rate(), f"{self.done:,} of {self.total:,} {self.things}"
        if rate == 0:
            return text
        text += f", {rate:,.0f} a second"
        left = (self.total - self.done) / rate
        return f"{text}, about {minutes(left)} left" if left else text

    def show(self) -> None:
        """Called after every change."""

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        """Nothing to close."""


class Log(Count):
    """Lines on stderr: the first, the last, and one every 20 seconds."""

    last = 0.0

    def show(self) -> None:
        now = time.monotonic()
        if self.done in (self.before, self.total) or now - self.last >= LINE_EVERY_SECONDS:
            self.last = now
            print(self.text(), file=sys.stderr, flush=True)


class Terminal(Count):
    """A bar on stderr."""

    def __enter__(self) -> Terminal:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = BarColumn(bar_width=20), TextColumn("{task.percentage:3.0f} %"), TextColumn("{task.description}")
        self.bars = Progress(*columns, console=Console(stderr=True))
        self.bars.start()
        self.task = self.bars.add_task("looking at the images", total=None)
        return self

    def show(self) -> None:
        self.bars.update(self.task, completed=self.done, total=self.total, description=self.text())

    def __exit__(self, *_) -> None:
        self.bars.stop()


def fitting() -> Count:
    """The display that suits where this runs."""
    return Terminal() if sys.stderr.isatty() else Log()
