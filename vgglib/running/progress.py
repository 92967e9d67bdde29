"""How far a plan is: bars in a terminal, an updating line in a notebook, plain lines in a log."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

from vgglib.training.trained import Progress

LINE_EVERY_SECONDS = 20  # of a log, which nobody watches continuously
OUTCOMES = ("done", "failed", "stopped", "waiting")


@dataclass(frozen=True)
class Event:
    """Something that happened to a run: started, training, evaluating, done, failed, stopped (out of time, or without
    weights to begin with) or waiting (for another process, which is at it).

    share: 0..1 done of the run; before: of that, by earlier calls, and if nothing is said all that the first event of
    the run reports; text: what is being evaluated, or why it failed.
    """

    run_id: str
    kind: str
    progress: Progress | None = None
    share: float | None = None
    before: float | None = None
    text: str = ""
    top1_error_percent: float | None = None

    @property
    def outcome(self) -> str:
        error = self.top1_error_percent
        if self.kind == "failed" and self.text:
            return f"{self.kind}: {self.text}"
        return self.kind if error is None else f"{self.kind}, top-1 error {error:.1f} %"


def minutes(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


@dataclass
class State:
    """What is known of every run of a plan; all numbers a display shows come from here."""

    work: dict[str, float] = field(default_factory=dict)  # relative cost of each run
    share: dict[str, float] = field(default_factory=dict)  # 0..1 done of each
    before: dict[str, float] = field(default_factory=dict)  # of it, done in earlier calls
    running: dict[str, str] = field(default_factory=dict)  # what each is doing, in words
    begun: dict[str, float] = field(default_factory=dict)  # when it was first heard of, by the same clock as `started`
    started: float = field(default_factory=time.monotonic)

    def take(self, event: Event) -> None:
        if event.kind in OUTCOMES:
            self.running.pop(event.run_id, None)
            if event.kind in ("done", "failed"):
                self.share[event.run_id] = 1.0
            return
        self.running[event.run_id] = describe(event)
        self.begun.setdefault(event.run_id, time.monotonic())
        if event.share is not None:
            self.before.setdefault(event.run_id, event.share if event.before is None else event.before)
            self.share[event.run_id] = event.share

    @property
    def done(self) -> float:
        """Share of the whole plan, weighted by cost."""
        return self._weighted(self.share) if self.work else 1.0

    def _weighted(self, share: dict[str, float]) -> float:
        return sum(self.work[run] * part for run, part in share.items()) / sum(self.work.values())

    def remaining_seconds(self) -> float | None:
        """At the speed so far, in which work of earlier calls does not count; None before 1 % was done."""
        if not self.work:
            return None
        now = self.done - self._weighted(self.before)
        return (time.monotonic() - self.started) * (1 - self.done) / now if now > 0.01 else None

    def seconds_left(self, run: str) -> float | None:
        """Of one run, its tests included, at the speed since it began here; None before 1 % was done since then."""
        now = self.share.get(run, 0.0) - self.before.get(run, 0.0)
        return (time.monotonic() - self.begun[run]) * (1 - self.share[run]) / now if now > 0.01 else None

    def line(self) -> str:
        """The plan in one line."""
        finished = sum(share == 1.0 and run not in self.running for run, share in self.share.items())
        remaining = self.remaining_seconds()
        left = "" if remaining is None else f", about {minutes(remaining)} left"
        now = "; ".join(f"{run} {doing}" for run, doing in self.running.items())
        return f"{finished} of {len(self.work)} runs, {100 * self.done:.0f} %{left}" + (f" | {now}" if now else "")


def describe(event: Event) -> str:
    """What a running net is doing, in a few words."""
    progress = event.progress
    if progress is None:
        return f"evaluating {event.text}" if event.kind == "evaluating" else "starting"
    text = f"epoch {progress.epoch}/{progress.epochs} {progress.images_per_second:.0f} img/s"
    text += f" loss {progress.train_loss:.2f}"
    error = progress.minival_top1_error_percent
    return text if error is None else f"{text} minival error {error:.1f} %"


class Silent:
    """Keeps count and shows nothing; the displays below build on it. Use as a context."""

    def __init__(self):
        self.state = State()

    def plan(self, work: dict[str, float]) -> None:
        """Name the runs to come, with their relative cost."""
        self.state = State(work)

    def event(self, event: Event) -> None:
        self.state.take(event)
        self.show(event)

    def show(self, event: Event) -> None:
        """Called after every event."""

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        """Nothing to close."""


class Log(Silent):
    """Lines on the real stderr: every outcome at once, the state in between every 20 seconds."""

    last = 0.0

    def show(self, event: Event) -> None:
        if event.kind in OUTCOMES:
            print(f"{event.run_id} {event.outcome}", file=sys.__stderr__, flush=True)
        elif time.monotonic() - self.last < LINE_EVERY_SECONDS:
            return
        self.last = time.monotonic()
        print(self.state.line(), file=sys.__stderr__, flush=True)


class Terminal(Silent):
    """A bar for the plan and one for each net that is running or finished."""

    def __enter__(self) -> Terminal:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description:30}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
        )
        self.bars.start()
        self.whole = self.bars.add_task("all runs", total=1, text="")
        self.tasks: dict[str, int] = {}
        return self

    def __exit__(self, *_) -> None:
        self.bars.stop()

    def show(self, event: Event) -> None:
        run, progress = event.run_id, event.progress
        if run not in self.tasks:
            self.tasks[run] = self.bars.add_task(run, total=1, text="starting")
        if progress is not None:
            seconds = self.state.seconds_left(run)
            text = f"{progress.images_per_second:.0f} img/s, " + (f"{minutes(seconds)} left, " if seconds else "")
            text += f"epoch {progress.epoch}/{progress.epochs}, loss {progress.train_loss:.2f}"
            self.bars.update(self.tasks[run], completed=self.state.share.get(run, 0), text=text)
        elif event.kind == "evaluating":
            self.bars.update(self.tasks[run], completed=self.state.share.get(run, 0), text=describe(event))
        elif event.kind in OUTCOMES:
            self.bars.update(self.tasks[run], completed=self.state.share.get(run, 0), text=event.outcome)
        remaining = self.state.remaining_seconds()
        text = "" if remaining is None else f"{minutes(remaining)} left"
        self.bars.update(self.whole, completed=self.state.done, text=text)


class Notebook(Silent):
    """One line of output that changes in place."""

    def __enter__(self) -> Notebook:
        from IPython.display import Markdown, display

        self.wrap = Markdown
        self.handle = display(Markdown("starting"), display_id=True)
        return self

    def show(self, event: Event) -> None:
        self.handle.update(self.wrap(self.state.line()))

    def __exit__(self, *_) -> None:
        took = minutes(time.monotonic() - self.state.started)
        self.handle.update(self.wrap(f"{self.state.line()} after {took}"))


def fitting() -> Silent:
    """The display that suits where this runs."""
    if "ipykernel" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        return Notebook()
    return Terminal() if sys.stderr.isatty() else Log()
