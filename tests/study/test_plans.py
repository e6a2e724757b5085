"""Plans of runs: those that do not depend on each other are followed at once, and end as one after the other."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from study.experiments.base import together
from study.launch import launcher as launchers
from study.launch.launcher import Launcher, perform
from study.observers.loss import Diverged
from study.running.result import Result

HIGHEST = {"a": 3, "b": 1, "c": 2}  # rate at which a plan's runs do not diverge


class Step(tuple):
    """What is done at a rate."""

    def logged(self, how):
        return self


class Falling:
    """An experiment of plans that try rates from 3 down and then train at the first that does not diverge."""

    name, device, cores = "falling", "cpu", 4

    def __init__(self, joined):
        self.joined, self.sent, self.stopped = joined, {}, []

    def trained(self, name):
        rate, tuned = 3, None
        while tuned is None:
            try:
                tuned = (yield {f"tune-{name}": Step((name, rate))})[f"tune-{name}"]
            except Diverged as stop:
                self.stopped.append((f"tune-{name}", stop.role))
                rate -= 1
        results = yield {name: Step((name, rate))}
        self.sent[name] = tuned.path, results[name].path

    def plan(self):
        plans = map(self.trained, HIGHEST)
        if self.joined:
            yield from together(plans)
        else:
            for plan in plans:
                yield from plan

    def run_count(self):
        return 2 * len(HIGHEST)

    def expected_seconds(self):
        return None


@dataclass(frozen=True)
class Noting(Launcher):
    """Does all runs of a batch, or ends with the first that diverges; notes what it did."""

    whole: bool = True
    done: list = field(default_factory=list)

    def device(self, choice):
        return choice

    def launch(self, batch, out, command, progress, cores):
        outcomes = {}
        for role, (name, rate) in batch.items():
            outcomes[role] = Result(Path(name, str(rate))) if rate <= HIGHEST[name] else Diverged(1, 0, float(rate))
            self.done.append(role)
            if isinstance(outcomes[role], Diverged) and not self.whole:
                break
        return outcomes


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_plans_at_once_end_as_one_after_the_other_and_no_run_is_done_twice(joined, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(launchers.store, "record", lambda *_: None)
    experiment, launcher = Falling(joined), Noting(whole=whole)
    results = perform(experiment, launcher, tmp_path, "test", Console(quiet=True), {})
    paths = {name: Path(name, str(rate)) for name, rate in HIGHEST.items()}
    assert experiment.sent == {name: (path, path) for name, path in paths.items()}
    assert all(mine == stopped for mine, stopped in experiment.stopped) and len(experiment.stopped) == 3
    assert {role: result.path for role, result in results.items()} == paths | {f"tune-{n}": path for n, path in paths.items()}
    assert {role: launcher.done.count(role) for role in results} == dict.fromkeys(HIGHEST, 1) | {
        f"tune-{name}": 4 - rate for name, rate in HIGHEST.items()
    }
