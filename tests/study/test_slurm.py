"""Job arrays on a real SLURM of two nodes: preempted, requeued, killed, with the controller restarted."""

import os
import signal
import subprocess

import pandas as pd
import pytest
from rich.console import Console

from study import cli
from study.experiments.linear import training
from study.running import scheduler
from study.running import slurm as launchers
from study.running.cluster import Cluster
from study.running.lock import owner
from study.running.status import Runs

pytest.importorskip("submitit", reason="needs the extra `cluster`")
ROLES = ("preempted", "requeued", "killed")


def runs_of(updates=1600):
    d = 8
    lam, rho = [[1 - 0.1 * i for i in range(d)]] * 2, [[0.2 + 0.1 * i for i in range(d)]] * 2
    return {
        role: training("test", role, "jepa", "cpu", lam, rho, 3, 0.1, [seed, seed + 1], [0.05, 0.02], 20, updates // 20, batch=16)
        for seed, role in enumerate(ROLES)
    }


def states(out):
    return {row.run.split("/")[1].split("-")[0]: row.state for row in Runs(out, "test")}


def test_an_array_survives_and_equals_an_uninterrupted_run(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(launchers, "LONGEST", 1.0)
    out, console, batch = tmp_path / "runs", Console(width=200), runs_of()
    launcher = launchers.Slurm(cluster=Cluster(partition="low", setup=["export OMP_NUM_THREADS=1"]))
    folders = {role: run.folder(out) for role, run in batch.items()}

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # the process that submits is ended
        patch.setattr(launchers, "wait", killed)
        launcher.launch(batch, out, "test", console)
    queue = scheduler.tasks()
    assert len(queue) == len(ROLES)
    assert set(states(out).values()) <= {"queued", "running"}

    slurm.until(lambda: all((f / "checkpoints" / "last.ckpt").exists() for f in folders.values()))
    jobs = {role: queue[scheduler.job_of(folder).key].id for role, folder in folders.items()}
    process = owner(folders["killed"]).process
    subprocess.run(["scontrol", "requeue", jobs["requeued"]], check=True)
    os.kill(process, signal.SIGKILL)
    node = scheduler.tasks()[scheduler.job_of(folders["preempted"]).key].where
    subprocess.run(["sbatch", "--partition=high", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"], check=True)
    slurm.stop("slurmctld")
    slurm.start_controller()
    slurm.until(lambda: states(out)["killed"] == "failed")
    print(states(out), scheduler.tasks())

    results = launcher.launch(batch, out, "test", console)
    for role in ROLES:
        print(role, (scheduler.job_of(folders[role])), "\n", open(scheduler.job_of(folders[role]).log).read())
    assert states(out) == dict.fromkeys(ROLES, "done")
    for role, run in batch.items():
        whole = run.execute(tmp_path / "whole")
        pd.testing.assert_frame_equal(pd.read_parquet(results[role].path / "metrics.parquet"), whole.table, check_exact=True)
