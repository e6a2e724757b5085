"""Job arrays on a real SLURM of two nodes: preempted, requeued, killed, with the controller restarted."""

import dataclasses
import os
import shlex
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console

from study import cli
from study.experiments.linear import training
from study.launch import slurm as launchers
from study.launch.cluster import Cluster
from study.launch.order import CARRY_OUT, order
from study.launch.pool import pool
from study.launch.progress import Progress
from study.launch.status import Runs
from study.running import scheduler
from study.running.lock import owner
from study.running.run import read
from study.running.training import Training

pytest.importorskip("submitit", reason="needs the extra `cluster`")
ROOT = Path(__file__).parents[2]
ROLES = ("preempted", "requeued", "killed")
LOW = Cluster(partition="low", setup=["export OMP_NUM_THREADS=1"])


def run(name, seed=0, updates=1600):
    d = 8
    lam, rho = [[1 - 0.1 * i for i in range(d)]] * 2, [[0.2 + 0.1 * i for i in range(d)]] * 2
    return training("test", name, "jepa", "cpu", lam, rho, 3, 0.1, [seed, seed + 1], [0.05, 0.02], 20, updates // 20, batch=16)


def states(out):
    return {row.run.split("/")[1].split("-")[0]: row.state for row in Runs(out, "test")}


@pytest.fixture
def launch(slurm, monkeypatch, runs):
    """Submits a batch, and waits where it is not told otherwise."""
    monkeypatch.setattr(launchers, "LONGEST", 1.0)

    def launch(batch, cluster=LOW, wait=True):
        with monkeypatch.context() as patch:
            if not wait:
                patch.setattr(launchers, "wait", lambda *_: signal.raise_signal(signal.SIGINT))
            return launchers.Slurm(cluster=cluster).launch(
                batch, runs, "test", Progress(Console(width=200), len(batch)), cores=4
            )

    return launch


def test_an_array_survives_and_equals_an_uninterrupted_run(slurm, launch, runs):
    batch = {role: run(role, seed, updates) for seed, (role, updates) in enumerate(zip(ROLES, (8000, 1000, 1000), strict=True))}
    with pytest.raises(KeyboardInterrupt):  # the process that submits ends, its jobs do not
        launch(batch, wait=False)
    folders = {role: made.folder(runs) for role, made in batch.items()}
    jobs = {role: scheduler.job_of(folder) for role, folder in folders.items()}
    queue = {role: scheduler.tasks()[job.key] for role, job in jobs.items()}
    assert set(states(runs).values()) <= {"queued", "running"}

    def preempt():
        node = scheduler.tasks()[jobs["preempted"].key].where
        scheduler.command(
            "sbatch", "--partition=high", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"
        )

    waiting = {
        "preempted": preempt,
        "requeued": lambda: scheduler.command("scontrol", "requeue", queue["requeued"].id),
        "killed": lambda: os.kill(owner(folders["killed"]).process, signal.SIGKILL),
    }

    def strike():
        """Each run as soon as it has a checkpoint."""
        for role in [role for role in waiting if (folders[role] / "checkpoints" / "last.ckpt").exists()]:
            waiting.pop(role)()
        return not waiting

    slurm.until(strike, 120)
    slurm.restart_controller()
    slurm.until(lambda: states(runs)["killed"] == "failed")

    results = launch(batch)
    assert states(runs) == dict.fromkeys(ROLES, "done")
    for role, job in jobs.items():
        assert (scheduler.job_of(folders[role]) == job) == (role != "killed"), "what is in the queue is not submitted again"
    assert "interrupted by SIGTERM" in jobs["preempted"].log.read_text(), "it was told and wrote a checkpoint"
    shown = scheduler.command("scontrol", "show", "job", queue["preempted"].id)
    assert " Restarts=1 " in shown, "it was requeued once, by itself or by the scheduler"
    whole = {role: made.folder(runs.parent / "whole") for role, made in batch.items()}
    orders = {role: order(made, runs.parent / "whole", whole[role], "test", False) for role, made in batch.items()}
    assert [failed for _, _, failed in pool(orders, [{"OMP_NUM_THREADS": "1"}] * 2, CARRY_OUT)] == [None] * len(ROLES)
    for role, folder in whole.items():
        pd.testing.assert_frame_equal(results[role].table, read(folder).table, check_exact=True)


def test_cancelled_jobs_stay_cancelled_and_are_reported(slurm, launch, runs, capsys):
    """Two runs in one job of two nodes, whose processes share them."""
    batch = {role: run(role, updates=10_000) for role in ("first", "second")}
    with pytest.raises(KeyboardInterrupt):
        launch(batch, dataclasses.replace(LOW, nodes=2, runs_per_job=2), wait=False)
    folders = [made.folder(runs) for made in batch.values()]
    slurm.until(lambda: all((folder / "checkpoints" / "last.ckpt").exists() for folder in folders), 120)
    before = [task.id for task in scheduler.tasks().values()]
    assert len(before) == 1
    assert cli.main(["cancel", "test", "--out", str(runs)]) == 0
    with pytest.raises(KeyboardInterrupt):  # at once, while the processes still write their checkpoints
        launch(batch, dataclasses.replace(LOW, nodes=2, runs_per_job=2), wait=False)
    assert "waiting for earlier jobs to end: first, second" in capsys.readouterr().out
    after = [task.id for task in scheduler.tasks().values()]
    assert len(after) == 1 and after != before
    assert cli.main(["cancel", "test", "--out", str(runs)]) == 0
    slurm.until(lambda: not scheduler.tasks())
    assert all((folder / "checkpoints" / "previous.ckpt").exists() for folder in folders), "the last is that of the signal"
    assert all(list(folder.glob("events*")) for folder in folders), "each process writes as a first one does"
    with pytest.raises(ChildProcessError, match=r"first: job ended before the run was done; last line of .*0\.log: "):
        raise launchers.outcome("first", folders[0])
    capsys.readouterr()
    assert cli.main(["status", "--out", str(runs)]) == 0
    assert "2 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_one_training_on_two_nodes_is_requeued_and_equals_one_process(slurm, runs, tmp_path):
    """By DDP, with the command of docs/resume.md. 90 s: python -m pytest tests/study/test_slurm.py -k two_nodes"""
    config = run("r", updates=2000).config
    made = Training("fit", "run", config)
    folder, log = made.folder(runs), tmp_path / "job.log"
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    fit = [sys.executable, "-m", "study.cli", "fit", "--config", "run.yaml"]
    processes = ["--trainer.num_nodes", "2", "--trainer.devices", "1", "--trainer.strategy", "ddp"]
    number = scheduler.command(
        "sbatch", "--parsable", "--partition=low", "--nodes=2", "--ntasks-per-node=1", "--requeue", "--open-mode=append",
        f"--chdir={tmp_path}", f"--output={log}",
        # The nodes of this SLURM have no addresses of their own.
        f"--export=ALL,PYTHONPATH={ROOT},OMP_NUM_THREADS=1,MASTER_ADDR=127.0.0.1",
        f"--wrap=srun --ntasks-per-node 1 --kill-on-bad-exit {shlex.join([*fit, *processes])}",
    ).strip()  # fmt: skip

    def ended():
        return not scheduler.command("squeue", "--me", "--noheader")

    slurm.until(lambda: (folder / "checkpoints" / "last.ckpt").exists() or ended(), 120)
    scheduler.command("scontrol", "requeue", number)
    slurm.until(lambda: (folder / "done").exists() or ended(), 180)
    assert (folder / "done").exists(), log.read_text()
    assert log.read_text().count("interrupted by SIGTERM") == 2, "both processes were told"
    slurm.until(ended)
    assert log.read_text().count("\nrun: ") == 1, "the first process alone speaks"
    alone = made.execute(tmp_path / "alone").table
    pd.testing.assert_frame_equal(read(folder).table, alone, rtol=1e-11, atol=1e-13)


def test_what_slurm_refuses_is_said_in_its_words(launch, runs):
    with pytest.raises(ValueError, match=r"^sbatch: .*invalid partition specified: nowhere"):
        launch({"r": run("r")}, Cluster(partition="nowhere"))
    assert not list(runs.glob("test/*"))
