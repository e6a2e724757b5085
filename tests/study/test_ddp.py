"""Several processes are one: on the same global batches they take the same steps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import small_networks as networks
import torch
import yaml
from noisy import noisy

from datamodules import GaussianPairs, TemporalPairs
from study import cli
from study.running.checkpoint import Checkpoint
from study.running.training import StudyCLI, Training

ROOT = Path(__file__).parents[2]
UPDATES, CHUNK = 24, 3


def run(updates, processes=1, lr=0.1, chunk=CHUNK, target="EMA", **model):
    """Two nonlinear networks on minibatches, in float64."""
    features = {"signal": [1.0, 0.8, 0.5, 0.2], "gamma": [0.9, 0.4, 0.7, 0.6], "noise": [0.3, 0.1, 0.2, 0.4]}
    encoder = {
        "inputs": 4,
        "hidden": [6, 5],
        "features": 3,
        "activation": "relu",
        "eps": 0.5,
        "init": "normal",
        "seeds": [0, 1],
    }
    config = {
        "trainer": {
            "accelerator": "cpu", "devices": processes, "strategy": "auto" if processes == 1 else "ddp",
            "callbacks": [{"class_path": "study.observers.Health", "init_args": {"every": 6, "sample": 8}}],
        },
        "model": {
            "encoder": {"class_path": "models.MLP", "init_args": encoder | {"dtype": "float64"}},
            "objective": {"class_path": f"models.{target}"}, "lr": [lr, lr / 2], **model,
        },
        "data": {"class_path": "datamodules.TemporalPairs", "init_args": features | {"batch": 8, "updates": updates, "chunk": chunk}},
    }  # fmt: skip
    return Training("test", "r", config)


STACKS = [("convolution", "vicreg"), ("vit", "lejepa"), ("convolution", "teacher")]


def stack(processes, network, objective):
    """The same of other networks, whose regularizers look at the whole batch. (AdamW would make steps of the rounding where a
    gradient is exactly zero, as that of the last bias under VICReg.)"""
    config = {
        "trainer": {"accelerator": "cpu", "devices": processes, "strategy": "auto" if processes == 1 else "ddp"},
        "model": networks.model(network, objective, momentum=0.9, lr=0.002),
        "data": networks.data(updates=6, chunk=CHUNK),
    }
    return Training("test", "r", config)


def runs_of(processes):
    """One update of plain SGD, which shows the gradient; and many of all that has a state."""
    one = run(1, processes, lr=1.0, chunk=1, target="Pixels")
    many = run(UPDATES, processes, momentum=0.9, weight_decay=0.01, kappa=2.0, schedule="cosine", warmup=5)
    networks = {f"{network}-{objective}": stack(processes, network, objective) for network, objective in STACKS}
    return {"one": one, "many": many, **networks}


def started():
    """What two processes do, by folder."""
    runs = runs_of(2)
    return runs | {"many-resumed": runs["many"]}


def weights(run, out):
    path = run.folder(out) / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def test_two_processes_equal_one(tmp_path, monkeypatch):
    """Also from a checkpoint that one process wrote."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    save = Checkpoint.save

    def save_and_copy(self, trainer):
        save(self, trainer)
        if trainer.global_step == UPDATES // CHUNK // 2:
            shutil.copytree(alone / "many", together / "many-resumed")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save_and_copy)
        expected = {name: made.execute(alone / name) for name, made in runs_of(1).items()}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, str(together)]
    done = subprocess.run(
        launch, capture_output=True, text=True, timeout=200, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    for name, made in started().items():
        same = name.removesuffix("-resumed")
        folder = made.folder(together / name)
        assert (folder / "done").exists()
        assert len(list(folder.glob("events.out.tfevents.*"))) == (2 if name != same else 1)  # by the first process alone
        found, wanted = weights(made, together / name), weights(made, alone / same)
        if name == "one":
            _, learner, _ = StudyCLI(made.config).build()
            start = learner.state_dict()
            found, wanted = ({key: start[key] - value for key, value in state.items()} for state in (found, wanted))
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=1e-12, atol=1e-14, msg=lambda m, k=key, n=name: f"{n} {k}: {m}")
        table = pd.read_parquet(folder / "metrics.parquet")
        pd.testing.assert_frame_equal(table, expected[same].table, check_exact=False, rtol=1e-11, atol=1e-13)


PAIRS = {
    "gaussian": lambda _: GaussianPairs([[1.0, 0.8, 0.5]] * 2, [[0.9, 0.4, 0.7]] * 2, basis="rotated", batch=8),
    "temporal": lambda _: TemporalPairs([1.0, 0.8], [0.9, 0.4], [0.3, 0.1], basis="noncommuting", batch=8, seeds=[0, 1]),
    "images": lambda root: noisy("folder", root, size=2, directions=3, flip=True, seeds=[0, 1], batch=8),
}


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("name", PAIRS)
def test_shares_are_the_batch(name, ranks, images):
    data, device = PAIRS[name](images), torch.device("cpu")
    data.setup()
    whole = data.pairs(5, device)
    shares = [data.pairs(5, device, rank, ranks) for rank in range(ranks)]
    for v in range(2):
        torch.testing.assert_close(torch.cat([s[v].values for s in shares], 1), whole[v].values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 7}, "batch must be a multiple of the 2 processes that share it, found 7"),
        ({"batch": None}, "exact moments hold no batch to divide among 2 processes"),
    ],
)
def test_what_cannot_be_divided_is_refused(changes, message, tmp_path, monkeypatch, capsys):
    config = run(24, processes=2).config
    config["model"]["encoder"]["init_args"]["activation"] = "linear"
    config["data"]["init_args"] |= changes
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["fit", "--config", "run.yaml"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_another_strategy_is_refused(runs):
    made = run(24)
    made.config["trainer"]["strategy"] = "ddp_spawn"
    with pytest.raises(ValueError, match="strategy must be auto or ddp, found 'ddp_spawn'"):
        made.execute(runs)


def test_processes_that_see_other_checkpoints_stop(tmp_path):
    trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda step: 8), global_step=4, global_rank=1, world_size=2)
    with pytest.raises(ValueError, match=r"process 1 of 2 found the checkpoint of step 4 .* process 0 that of step 8"):
        Checkpoint(tmp_path, {}, every=1).on_train_start(trainer, None)


if __name__ == "__main__":  # in each process that torchrun starts
    for name, made in started().items():
        made.execute(Path(sys.argv[1]) / name)
