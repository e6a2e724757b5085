"""Kills at random moments: no run is lost, no row doubled or missing, and tables, records and claims are those of a sweep left alone."""

import dataclasses
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from datamodules.sources import builtin
from study import cli, files
from study.experiments import dynamics
from study.running import checkpoint
from study.running.training import Training

GAUSSIAN = {"lam": [1.0, 0.8, 0.5, 0.2], "rho": [0.9, 0.4, 0.7, 0.6], "updates": 20, "chunk": 2}
NOISY = {"signal": [1.0, 0.8, 0.5, 0.2], "gamma": [0.9, 0.4, 0.7, 0.6], "noise": [0.3, 0.1, 0.2, 0.4], "batch": 8, "updates": 20, "chunk": 2}  # fmt: skip
SWEEP = {
    "jepa": ("StopGradient", {}, False),
    "jepa-momentum": ("StopGradient", {"momentum": 0.9}, True),
    "jepa-adamw": ("StopGradient", {"optimizer": "adamw", "lr": 0.01, "schedule": "cosine"}, True),
    "ema": ("EMA", {"weight_decay": 0.01}, True),
    "ema-momentum": ("EMA", {"momentum": 0.9, "schedule": "cosine", "warmup": 9}, False),
    "ema-adamw": ("EMA", {"optimizer": "adamw", "lr": 0.01}, True),
    "mae": ("Pixels", {"schedule": "cosine"}, True),
    "mae-adamw": ("Pixels", {"optimizer": "adamw", "lr": 0.01, "kappa": 2.0}, False),
}
COMMANDS = {
    "fit": [["fit", "--config", "fit.yaml"]],  # of "ema-momentum": a teacher and a schedule
    "experiments": [
        ["run", "dynamics", "--depths", "[1, 2]", "--seeds", "1", "--eps", "0.15", "--out", "runs", "--device", "cpu"],
        ["run", "pixels", "--size", "8", "--count", "300", "--directions", "6", "--updates", "8", "--batch", "16", "--seeds", "1",
         "--rates", "[0.0001]", "--out", "runs", "--device", "cpu"],
    ],
}  # fmt: skip
PRELOADED = ["study.running.training", "study.launch.slurm", "study.report.page", "study.report.board", "study.figures",
             "study.experiments.dynamics", "study.experiments.pixels"]  # fmt: skip


def run(name):
    target, model, noisy = SWEEP[name]
    encoder = {"inputs": 4, "hidden": [4], "features": 3, "eps": 0.3, "init": "normal", "seeds": [0, 1]}
    config = {
        "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Health", "init_args": {"every": 4, "sample": 8}}]},
        "model": {
            "encoder": {"class_path": "models.MLP", "init_args": encoder | {"activation": "relu" if noisy else "linear"}},
            "objective": {"class_path": f"models.{target}"}, "lr": 0.05, **model,
        },
        "data": {"class_path": f"datamodules.{'TemporalPairs' if noisy else 'GaussianPairs'}", "init_args": NOISY if noisy else GAUSSIAN},
    }  # fmt: skip
    return Training("torture", name, config)


def sweep(out, pause, commands):
    """All runs one after the other, then `commands`, with a checkpoint after every chunk, on a disk that takes `pause` seconds
    for every rename and flush, so that many kills fall into the writing of files."""
    server = [name.read_text() for name in Path(f"/proc/{os.getppid()}/task").glob("*/comm")]
    assert server.count(Path("/proc/self/comm").read_text()) == 1, f"the server has started threads: {server}"

    def slow(function):
        return lambda *arguments: (time.sleep(pause), function(*arguments))

    torch.set_num_threads(1)  # tables of `pixels` depend on it
    checkpoint.Checkpoint.every = property(lambda self: 1, lambda self, value: None)
    checkpoint.flush, files.flush, os.replace = slow(checkpoint.flush), slow(files.flush), slow(os.replace)
    builtin.TRAIN, builtin.TEST = 1000, 250  # which every process makes anew
    dynamics.MEASUREMENTS = 20
    dynamics.RATES = {objective: dict.fromkeys(range(1, 5), 0.1) for objective in dynamics.RATES}  # a tenth of the updates
    for name in SWEEP:
        run(name).execute(out)
    os.chdir(out)
    Path("fit.yaml").write_text(yaml.safe_dump(run("ema-momentum").config))
    for name in commands:
        for command in COMMANDS[name]:
            assert cli.main(command) == 0, command


@dataclasses.dataclass
class Tally:
    sweeps: int = 0
    kills: int = 0
    writing: int = 0  # kills that left a file half written or not renamed, that many of them a checkpoint:
    checkpoints: int = 0
    lost: int = 0  # processes that ended with an error, runs without a table
    doubled: int = 0  # rows
    different: int = 0  # tables, records or claims that are not, bit for bit, those of a sweep left alone


def torture(kills: int, commands: list[str], out: Path) -> Tally:
    """Sweeps whose process is killed at random moments and started again until all is done, until there were enough kills.

    Processes are forked from a server that has imported everything and computed nothing, as imports take seconds.
    """
    context, draw, tally = multiprocessing.get_context("forkserver"), random.Random(0), Tally()
    context.set_forkserver_preload(PRELOADED)

    def live(seconds: float | None, work: Callable[..., object], *arguments: object) -> int | None:
        """The exit code of a process, none where it had to be killed."""
        process = context.Process(target=work, args=arguments)
        process.start()
        process.join(seconds)
        code = process.exitcode
        process.kill()
        process.join()
        return code

    live(None, print)  # comes when the server has imported everything
    start = time.monotonic()
    assert live(None, sweep, out / "alone", 0.0, commands) == 0
    longest = (time.monotonic() - start) / (6 if "experiments" in commands else 2)
    while tally.kills < kills:
        tally.sweeps += 1
        folder, code = out / str(tally.sweeps), None
        seen: set[tuple[Path, int]] = set()
        while code is None:
            more = tally.kills < kills
            code = live(draw.uniform(0, longest) if more else None, sweep, folder, 0.02 if more else 0.0, commands)
            left = {(path, path.stat().st_mtime_ns) for path in folder.rglob("*.partial")} - seen
            seen |= left
            tally.kills += code is None
            tally.writing += bool(left)
            tally.checkpoints += any(path.name.startswith("last.ckpt.") for path, _ in left)
        tally.lost += code != 0
        for expected in (out / "alone").rglob("metrics.parquet"):
            path = folder / expected.relative_to(out / "alone")
            if not path.with_name("done").exists():
                tally.lost += 1
                continue
            found = pd.read_parquet(path)
            tally.doubled += int(found.duplicated(["network", "step", "metric"]).sum())
            tally.different += not found.equals(pd.read_parquet(expected))
        tally.different += said(folder) != said(out / "alone")
    return tally


def said(folder: Path) -> dict[str, object]:
    """Claims, what records say but for times, and how many claims the page shows, by file."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("runs/*/*.json")):
        record = json.loads(path.read_text())
        found[str(path.relative_to(folder))] = record["options"], record["runs"], record["command"]
    for path in folder.glob("runs/claims.json"):
        found["claims"] = path.read_text()
        found["page"] = (folder / "runs" / "report" / "index.html").read_text().count("<tr")
    return found


@pytest.mark.parametrize(
    ("kills", "commands"), [(10, ["fit"]), pytest.param(100, ["fit", "experiments"], marks=pytest.mark.slow)]
)
def test_kills_lose_nothing(kills, commands, tmp_path, monkeypatch):
    """The long version: python -m pytest -m slow tests/study/test_torture.py."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # processes find this file by it
    tally = torture(kills, commands, tmp_path)
    print(tally)
    assert tally.kills == kills
    assert (tally.lost, tally.doubled, tally.different) == (0, 0, 0), tally
    runs = {"fit": 1, "experiments": 4 + 8}
    assert len(list((tmp_path / "alone").rglob("done"))) == len(SWEEP) + sum(runs[name] for name in commands)
    assert ("claims" in said(tmp_path / "alone")) == ("experiments" in commands)
