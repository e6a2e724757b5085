"""Runs that a signal ends: exit code, one line, a checkpoint, and then the same results as without."""

import signal

import pandas as pd
import pytest
import yaml

from study import cli
from study.experiments.linear import training
from study.running import integration
from study.running.checkpoint import Checkpoint
from study.running.signals import WARNINGS, Preempted, caught

UPDATES, CHUNK = 200, 10
SIGNALS = [*WARNINGS, signal.SIGINT]


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


@pytest.mark.parametrize("number", SIGNALS)
def test_a_training_ends_after_its_chunk_with_a_checkpoint(number, tmp_path, monkeypatch, capsys, whole):
    handlers = [signal.getsignal(n) for n in SIGNALS]
    assert fit(tmp_path, monkeypatch, 7, number) == 128 + number
    assert capsys.readouterr().err == f"study: interrupted by {number.name}; the same command goes on where it stopped\n"
    assert [signal.getsignal(n) for n in SIGNALS] == handlers
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


def test_an_integration_ends_at_once_and_says_that_it_starts_again(runs, monkeypatch, capsys):
    encoder = {"inputs": 2, "hidden": [], "features": 2, "eps": 0.1, "seeds": [0]}
    data = {"class_path": "datamodules.GaussianPairs", "init_args": {"lam": [1.0, 0.5], "rho": [0.4, 0.9]}}
    config = {"objective": "jepa", "encoder": encoder, "data": data, "until": [3.0]}
    made = integration.Integration("test", "r", config)
    with monkeypatch.context() as patch:
        patch.setattr(integration, "follow", lambda *_: signal.raise_signal(signal.SIGTERM))
        with caught(), pytest.raises(Preempted):
            made.execute(runs)
    assert capsys.readouterr().err == ""
    assert made.execute(runs).path == made.folder(runs)
    assert "starts again" in capsys.readouterr().err
    made.execute(runs)
    assert capsys.readouterr().err == "", "a finished one does not"
