"""How far an experiment is: how many runs it has, what became of each, and about how long the rest takes."""

import time

from study.console import Console
from study.running.result import Result


class Progress:
    """Prints a line when an experiment begins, and one for each of its runs that is done.

    Args:
        console: where.
        runs: how many there are; more, where a learning rate that diverges makes others necessary.
        seconds: about how long all of them take on 2 cores, or none where that is not known.
    """

    def __init__(self, console: Console, runs: int, seconds: float | None = None) -> None:
        self.console, self.runs, self.seconds = console, runs, seconds
        self.done, self.made, self.start = 0, 0, time.monotonic()

    def begin(self, what: str) -> None:
        """Before the first run."""
        expected = "" if self.seconds is None else f", about {duration(self.seconds)} on 2 cores"
        self.console.print(f"{what}: {self.runs} run{'s' if self.runs > 1 else ''}{expected}")

    def expect(self, runs: int) -> None:
        """So many runs are done next."""
        self.runs = max(self.runs, self.done + runs)

    def end(self, role: str, seconds: float, result: Result) -> None:
        """The line of a run that is done: how long it took, and how it came to be; and how long the others take, if they take as long
        as those that were made until now."""
        self.done, self.made = self.done + 1, self.made + (not result.kept)
        rest, count = self.runs - self.done, f"{self.done} of {self.runs}"
        left = ""
        if rest and self.made:
            left = f"  (about {duration((time.monotonic() - self.start) / self.made * rest)} left)"
        self.console.print(f"  {count:>8}  {role:<24} {seconds:6.1f} s  {result.origin}  {result.path}{left}")


def duration(seconds: float) -> str:
    """As text, in seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} hours"
