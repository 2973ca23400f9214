"""What a running study shows: live bars on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable, Mapping
from statistics import fmean
from types import MappingProxyType, TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from stir.terminal import counted
from tune_jobs.plan.cost import Expectation
from tune_jobs.trial.outcome import TrialProgress
from tune_jobs.wording import duration

PLAIN_SECONDS = 15.0  # between two lines about what is running, where there are no bars
LEAST_SECONDS, LEAST_PROGRESS = 3.0, 0.02  # before a rate is shown; progress counts in trials
EXPECTED_TRIALS = 0.5  # that the forecast counts for in the rate, as if it had been measured
MOST_SHARE = 0.97  # of a trial that still runs
BAR_WIDTH = 12  # characters; names and numbers are to fit beside it on a terminal of 80


class Display:
    """Progress of the trials of one run, on standard error; may be called from several threads.

    ``total`` trials are to be run, ``slots`` of them at once if that is known; ``cost`` says what
    they have cost. A trial that was paused to go on later does not count as done. ``forecast`` says
    what trials are expected to take, by label, so that the time left is right while the costliest
    ones run first, and is that of ``plan`` before any has got far. ``name`` is what a bar
    says instead of a label: what differs.
    """

    def __init__(
        self,
        total: int,
        *,
        slots: int | None = None,
        forecast: Mapping[str, Expectation] = MappingProxyType({}),
        name: Callable[[str], str] = lambda label: label,
        cost: Callable[[], float] | None = None,
        console: Console | None = None,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._lock = threading.RLock()
        self._total, self._slots, self._cost = total, slots, cost
        self._forecast, self._name = forecast, name
        self._mean_seconds = fmean(trial.seconds for trial in forecast.values()) if forecast else 1
        self._progress = 0.0  # of trials that are done, in trials of average cost
        self._done = self._failed = self._paused = 0
        self._running: dict[str, tuple[TaskID, float]] = {}  # label: bar, share done
        self._began = self._last_line = time.monotonic()
        self._summary, self._bars = self._rows(), self._rows()
        self._all = self._summary.add_task("trials", total=total, note="")
        self._live = Live(Group(self._summary, self._bars), console=self._console)

    def __enter__(self) -> Self:
        if expected := self._expected():
            self.say(
                f"{counted(self._total, 'trial')}: about {duration(expected)}, as plan expects"
            )
        if self._console.is_terminal:
            self._live.start()
        self._refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def _rows(self) -> Progress:
        """A bar between what it is of and what is said of it; long texts go on in a next line."""

        def text(what: str) -> TextColumn:
            return TextColumn(what, markup=False, table_column=Column(overflow="fold"))

        return Progress(
            text("{task.description}"),
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(),
            text("{task.fields[note]}"),
            console=self._console,
        )

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def progressed(self, label: str, progress: TrialProgress) -> None:
        """A trial has begun, has resumed from a checkpoint, or has finished an epoch."""
        with self._lock:
            if label not in self._running:
                bar = self._bars.add_task(self._name(label), total=progress.max_epochs, note="")
                self._running[label] = (bar, 0.0)
                if progress.resumed_at:
                    epoch, batch = progress.resumed_at
                    self.say(f"resumed   {label}: from epoch {epoch}, batch {batch}")
            bar, _ = self._running[label]
            self._running[label] = (bar, self._share(label, progress))
            valid = progress.valid_accuracy
            note = "" if valid is None else f"validation {valid:.1%}"
            self._bars.update(bar, completed=progress.epoch, note=note)
            self._refresh()

    def ended(self, label: str, message: str, *, failed: bool = False) -> None:
        """A trial is done, well or not."""
        with self._lock:
            self._done += 1
            self._progress += self._weight(label)
            self._failed += failed
            self.left(label, f"{message} ({self._done}/{self._total})")
            self._refresh()

    def paused(self, label: str, message: str) -> None:
        """A trial has stopped before its end, as asked; it is not done."""
        with self._lock:
            self._paused += 1
            self.left(label, message)
            self._refresh()

    def left(self, label: str, message: str = "") -> None:
        """A trial no longer runs, or another driver runs it."""
        with self._lock:
            bar, _ = self._running.pop(label, (None, 0.0))
            if bar is not None:
                self._bars.remove_task(bar)
            if message:
                self.say(message)

    def _refresh(self) -> None:
        counts = [f"{len(self._running)} running"]
        counts += [f"{self._failed} failed"] * bool(self._failed)
        counts += [f"{self._paused} paused"] * bool(self._paused)
        note = ", ".join([*counts, *self._pace()])
        self._summary.update(self._all, completed=self._done, note=note)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self.say(f"{self._done} of {counted(self._total, 'trial')} done, {note}")

    def _pace(self) -> list[str]:
        """Time left, rate and money spent, as far as they are known."""
        elapsed = time.monotonic() - self._began
        progress = self._progress + sum(
            share * self._weight(label) for label, (_, share) in self._running.items()
        )
        parts, expected = [], self._expected()
        if progress >= LEAST_PROGRESS and elapsed >= LEAST_SECONDS:
            known = EXPECTED_TRIALS if expected else 0.0  # or the first seconds would say all
            seconds = (elapsed + known * expected / self._total) / (progress + known)  # a trial
            left = seconds * max(0.0, self._total - progress)
            parts += [f"about {duration(left)} left", f"{3600 / seconds:,.0f} per hour"]
        elif expected:
            parts.append(f"about {duration(expected)} left")
        if self._cost is not None:
            parts.append(f"cost so far {self._cost():,.2f}")
        return parts

    def _expected(self) -> float:
        """Seconds that all trials take by the forecast; 0 where that is not known."""
        known = len(self._forecast) == self._total and self._slots
        return self._mean_seconds * self._total / self._slots if known and self._slots else 0.0

    def _weight(self, label: str) -> float:
        """What a trial costs, in trials of average cost."""
        trial = self._forecast.get(label)
        return trial.seconds / self._mean_seconds if trial else 1.0

    def _share(self, label: str, progress: TrialProgress) -> float:
        """How much of a trial is done; most stop long before ``max_epochs``."""
        trial = self._forecast.get(label)
        epochs = min(trial.epochs, progress.max_epochs) if trial else progress.max_epochs
        return min(progress.epoch / epochs, MOST_SHARE)
