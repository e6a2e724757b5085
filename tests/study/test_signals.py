"""Runs that a signal ends: exit code, one line, a checkpoint, and then the same results as without."""

import json
import os
import signal
import sys

import pandas as pd
import pytest
import yaml

from study import cli
from study.experiments.linear import linear_model, training
from study.launch import job, worker
from study.launch.order import CARRY_OUT, order
from study.running import integration, signals
from study.running.checkpoint import Checkpoint
from study.running.failed import error_of, failed
from study.running.signals import ASKING, Preempted, caught

UPDATES, CHUNK = 200, 10


def run():
    lam, rho = [[1.0, 0.5]] * 2, [[0.4, 0.9]] * 2
    return training("fit", "run", "jepa", "cpu", lam, rho, 2, 0.1, [0, 1], [0.05, 0.02], CHUNK, UPDATES // CHUNK, batch=8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run().execute(tmp_path_factory.mktemp("whole"))


def fit(folder, monkeypatch, step, *numbers):
    """The exit code of `study fit` there, with signals that come in a certain chunk."""
    saved = Checkpoint.on_train_batch_end

    def signalled(self, trainer, *arguments):
        saved(self, trainer, *arguments)
        if trainer.global_step == step:
            for number in numbers:
                signal.raise_signal(number)

    monkeypatch.chdir(folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(run().config))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_end", signalled)
        return cli.main(["fit", "--config", "run.yaml"])


@pytest.mark.parametrize("number", ASKING)
def test_a_training_ends_after_its_chunk_with_a_checkpoint(number, tmp_path, monkeypatch, capsys, whole):
    handlers = [signal.getsignal(n) for n in ASKING]
    assert fit(tmp_path, monkeypatch, 7, number) == 128 + number
    assert capsys.readouterr().err == f"study: interrupted by {number.name}; the same command goes on where it stopped\n"
    assert [signal.getsignal(n) for n in ASKING] == handlers
    assert not list(tmp_path.rglob("done"))
    updates = []
    monkeypatch.setattr(Checkpoint, "on_train_batch_end", lambda self, trainer, *_: updates.append(trainer.global_step * CHUNK))
    resumed = run().execute(tmp_path / "runs")
    assert updates[0] == 8 * CHUNK, "it goes on with the chunk after the signal"
    pd.testing.assert_frame_equal(resumed.table, whole.table, check_exact=True)


def test_several_warnings_are_one(tmp_path, monkeypatch, capsys):
    assert fit(tmp_path, monkeypatch, 3, signal.SIGUSR2, signal.SIGTERM) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.count("\n") == 1


def test_a_signal_in_the_last_chunk_finds_the_run_done(tmp_path, monkeypatch):
    assert fit(tmp_path, monkeypatch, UPDATES // CHUNK, signal.SIGTERM) == 128 + signal.SIGTERM
    assert list(tmp_path.rglob("done"))


def test_ctrl_c_before_the_first_chunk_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Checkpoint, "on_train_start", lambda *_: signal.raise_signal(signal.SIGINT))
    assert fit(tmp_path, monkeypatch, 0) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "study: interrupted by SIGINT; the same command goes on where it stopped\n"


def flow(name):
    model = linear_model("jepa", 2, 1, 0.1, [0])
    data = {"class_path": "datamodules.GaussianPairs", "init_args": {"lam": [1.0, 0.5], "rho": [0.4, 0.9]}}
    return integration.Integration("test", name, {"model": model, "data": data, "flow": {"until": [3.0]}})


@pytest.fixture
def task(runs, monkeypatch):
    """Does runs as the one process of a SLURM job; returns its exit code, and the signals after which it was requeued."""
    requeued = []
    monkeypatch.setattr(job, "requeue", requeued.append)

    def task(*batch, gpus=""):
        orders = [order(made, runs, made.folder(runs), "test", False) for made in batch]
        runs.mkdir(exist_ok=True)
        (runs / "0.json").write_text(json.dumps(orders))
        for made in batch:
            made.folder(runs).mkdir(parents=True, exist_ok=True)
        for name, value in {"ARRAY_TASK_ID": "0", "PROCID": "0", "LOCALID": "0", "NTASKS": "1"}.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        return job.main(runs), requeued

    return task


def test_an_integration_longer_than_its_job_is_not_requeued(runs, task, monkeypatch):
    made = flow("long")
    with monkeypatch.context() as patch:
        patch.setattr(integration, "follow", lambda *_: signal.raise_signal(signal.SIGUSR2))
        assert task(made) == (1, [])
    reason = error_of(failed(made.folder(runs)))
    assert isinstance(reason, ValueError) and str(reason).endswith("give a longer --timeout")
    assert task(made, flow("next")) == (1, []), "it stays failed; what shares its job is done"
    assert (flow("next").folder(runs) / "done").exists()


def test_an_integration_that_is_preempted_or_began_late_is_requeued(runs, task, monkeypatch):
    whole = integration.follow
    with monkeypatch.context() as patch:
        patch.setattr(integration, "follow", lambda *_: signal.raise_signal(signal.SIGTERM))
        assert task(flow("a")) == (128 + signal.SIGTERM, [signal.SIGTERM])
        second = iter([whole, lambda *_: signal.raise_signal(signal.SIGUSR2)])
        patch.setattr(integration, "follow", lambda *arguments: next(second)(*arguments))
        assert task(flow("a"), flow("b")) == (128 + signal.SIGUSR2, [signal.SIGTERM, signal.SIGUSR2])
    assert failed(flow("b").folder(runs)) is None
    assert task(flow("a"), flow("b"))[0] == 0


def test_a_failure_is_written_once(runs, task, monkeypatch):
    written = []
    monkeypatch.setattr(job, "write", lambda path, content: written.append(path))
    diverging = training("test", "r", "mae", "cpu", [[1.0, 0.5]], [[0.4, 0.9]], 2, 0.1, [0], [500.0], 4, 100)
    assert task(diverging) == (1, [])
    assert failed(diverging.folder(runs))["kind"] == "Diverged"
    assert written == []


@pytest.mark.parametrize(("bound", "used"), [("3,5", "3"), ("3", "3"), ("", "")])
def test_a_process_of_a_job_takes_its_own_gpu(bound, used, task):
    task(gpus=bound)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == used


def test_a_process_of_a_pool_can_be_cancelled(monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # which it gives up
    monkeypatch.setattr(sys, "stdin", map(signal.raise_signal, [signal.SIGINT]))
    assert worker.main(CARRY_OUT) == 128 + signal.SIGINT


def test_who_ends_a_run_does_not_have_its_job_requeued(monkeypatch):
    asked = []
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setattr(signals, "command", lambda name, *_: asked.append(name) or "RUNNING")
    with caught():  # puts the handlers back
        signals.requeue(signal.SIGINT)
        assert asked == []
        signals.requeue(signal.SIGTERM)
    assert asked == ["squeue", "scontrol"]


def test_an_integration_ends_at_once_and_says_that_it_starts_again(runs, monkeypatch, capsys):
    made = flow("r")
    with monkeypatch.context() as patch:
        patch.setattr(integration, "follow", lambda *_: signal.raise_signal(signal.SIGTERM))
        with caught(), pytest.raises(Preempted):
            made.execute(runs)
    assert capsys.readouterr().err == ""
    assert made.execute(runs).path == made.folder(runs)
    assert "starts again" in capsys.readouterr().err
    made.execute(runs)
    assert capsys.readouterr().err == "", "a finished one does not"
