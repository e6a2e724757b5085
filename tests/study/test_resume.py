"""2k updates = k, kill, resume, k: bit for bit, for every objective, optimiser and schedule."""

import shutil

import noisy
import pandas as pd
import pytest
import small_networks as networks
import torch

from study.running.checkpoint import Checkpoint
from study.running.training import Training

UPDATES, CHUNK = 24, 3
OPTIMIZERS = {"sgd": {}, "momentum": {"momentum": 0.9}, "adamw": {"optimizer": "adamw", "lr": 0.01}}
SCHEDULES = {"constant": {}, "cosine": {"schedule": "cosine", "warmup": 5}}
DATA = {
    "moments": ("GaussianPairs", {"lam": [1.0, 0.8, 0.5, 0.2], "rho": [0.9, 0.4, 0.7, 0.6], "basis": "rotated"}),
    "minibatches": (
        "TemporalPairs",
        {"signal": [1.0, 0.8, 0.5, 0.2], "gamma": [0.9, 0.4, 0.7, 0.6], "noise": [0.3, 0.1, 0.2, 0.4], "batch": 8},
    ),
}


def run(data, target, model):
    """Two networks of different seed: linear ones on moments, nonlinear ones on minibatches."""
    name, options = data
    inputs = 3 * 2**2 if "source" in options else 4
    encoder = {
        "inputs": inputs, "hidden": [4], "features": 3, "activation": "linear" if "batch" not in options else "relu",
        "eps": 0.3, "init": "normal", "seeds": [0, 1],
    }  # fmt: skip
    config = {
        "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Health", "init_args": {"every": 6, "sample": 4}}]},
        "model": {
            "encoder": {"class_path": "models.MLP", "init_args": encoder}, "objective": {"class_path": f"models.{target}"},
            "lr": 0.05, "weight_decay": 0.01, "kappa": 2.0, **model,
        },
        "data": {"class_path": f"datamodules.{name}", "init_args": {**options, "updates": UPDATES, "chunk": CHUNK}},
    }  # fmt: skip
    return Training("test", "r", config)


def same(one, other):
    """Whether two nested states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def check(made, out, monkeypatch):
    """Hold a run against the same run taken up from what a kill at half of its updates would have left on the disk."""
    save = Checkpoint.save

    def save_and_copy(self, trainer):
        save(self, trainer)
        if trainer.global_step * CHUNK == UPDATES // 2:
            shutil.copytree(out / "whole", out / "killed")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save_and_copy)
        whole = made.execute(out / "whole")
    assert not list((out / "killed").rglob("done"))
    resumed = made.execute(out / "killed")
    pd.testing.assert_frame_equal(resumed.table, whole.table, check_exact=True)
    states = [torch.load(r.path / "checkpoints" / "last.ckpt", weights_only=True) for r in (whole, resumed)]
    for part in ("state_dict", "optimizer_states", "callbacks", "global_step", "config"):
        assert same(states[0][part], states[1][part]), part
    assert {group["updates"] for group in states[1]["optimizer_states"][0]["param_groups"]} == {UPDATES}


@pytest.mark.parametrize("network", networks.NETWORKS)
@pytest.mark.parametrize("objective", networks.OBJECTIVES)
def test_so_is_it_for_any_network_and_objective(network, objective, runs, monkeypatch):
    config = {
        "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Health", "init_args": {"every": 6, "sample": 4}}]},
        "model": networks.model(network, objective, optimizer="adamw"),
        "data": networks.data(updates=UPDATES, chunk=CHUNK),
    }  # fmt: skip
    check(Training("test", "r", config), runs, monkeypatch)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("target", ["StopGradient", "EMA", "Pixels"])
def test_killed_and_resumed_equals_uninterrupted(data, schedule, optimizer, target, runs, monkeypatch):
    check(run(DATA[data], target, OPTIMIZERS[optimizer] | SCHEDULES[schedule]), runs, monkeypatch)


def test_a_run_on_images_resumes_with_the_same_rows_flips_and_noise(runs, images, monkeypatch):
    options = noisy.config("folder", root=images, size=2, directions=3, flip=True, seeds=[0, 1], batch=8)["init_args"]
    check(run(("SourcePairs", options), "EMA", SCHEDULES["cosine"] | {"lr": 0.01}), runs, monkeypatch)
