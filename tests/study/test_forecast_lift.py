"""The forecast behind a frozen network, and the measurement beside a forecast."""

import numpy as np
import pytest
import torch
from noisy import noisy

from datamodules import Moments
from datamodules.pairings.pairing import MOMENTS
from models import MLP, Learner, Stack, StopGradient
from study.forecast import frozen as networks
from study.forecast import lift
from study.forecast.command import spectrum
from study.forecast.end_state import Whitened
from study.forecast.probe import ProbeForecast
from study.forecast.timed import Training
from study.forecast.trained import all_trained
from study.observers.extract import extract
from study.observers.maps import overlap, whitened

COUNTS = {"train": 1200, "validation": 400, "test": 800}
SMALL = {"size": 8, "count": 2500, "directions": 20, "k": 16, "labels": [100]}


@pytest.fixture(scope="module")
def data():
    made = noisy(size=8, count=2500, directions=20)
    made.setup()
    return made


@pytest.fixture(scope="module")
def frozen():
    return networks.random([3, 8, 8], seed=3, widths=[16, 16])


class Identity(torch.nn.Module):
    """Features that are the inputs."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return (x * self.scale).flatten(1)


def close(found, expected):
    return torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_moments_of_frozen_features_are_those_of_all_pairs_at_once(data, frozen):
    clean = data.clean("train")[None]
    x, y = data.noise.of(0).views(clean, clean, MOMENTS)
    fx, fy, y = (extract(frozen, x)["features"][0], extract(frozen, y)["features"][0], y[0])
    fx, fy, y = (part.double() - part.double().mean(0) for part in (fx, fy, y))
    latent, cross = lift.moments(data, frozen)
    n = len(fx)
    assert latent.count == n
    assert close(latent.Sxx, (fx.mT @ fx + fy.mT @ fy) / (2 * n))
    assert close(latent.Syx, (fy.mT @ fx + fx.mT @ fy) / (2 * n))
    assert close(cross, y.mT @ fx / n)


def test_features_are_computed_where_the_network_is(data, frozen):
    """A device that holds no numbers stands for a GPU."""
    elsewhere = networks.random([3, 8, 8], seed=3, widths=[16, 16]).to("meta")
    for part in next(lift._features(data, elsewhere)):
        assert part.device.type == "meta"
    assert extract(frozen, data.clean("test", 5)[None])["features"].device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_end_states_behind_a_network_on_a_gpu_are_those_of_the_cpu(data, frozen):
    on_gpu = networks.named("random", [3, 8, 8], 3, [16, 16], "cuda")[1]
    found, expected = (lift.lifted(data, network, "", 16, 3, COUNTS, [100]) for network in (on_gpu, frozen))
    assert found.shares["jepa"] == pytest.approx(expected.shares["jepa"], abs=0.01)
    for one, other in zip(found.probes, expected.probes, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.01)


def test_behind_the_identity_reconstruction_is_that_of_the_inputs(data):
    latent, cross = lift.moments(data, Stack(Identity, [3, 8, 8]))
    assert close((cross + cross.mT) / 2, latent.Syx)
    assert torch.equal(Whitened(latent).mae(12, 3).encoder, Whitened(latent).regression(latent.Syx, 12, 3)[1])


def test_linear_layers_behind_a_frozen_network_end_where_the_forecast_says(data, frozen):
    """Trained on the exact moments of frozen features until nothing moves, JEPA holds the span of highest rho."""
    latent, _ = lift.moments(data, frozen)
    strongest = torch.linalg.eigh(latent.Sxx)[1][:, -16:]
    parts = [strongest.mT @ S @ strongest for S in (latent.Sxx, latent.Syx, latent.Syy)]
    moments = Moments(*(S / float(parts[0].trace()) * 16 for S in parts))
    end = Whitened(moments).jepa(2, 2)
    encoder = MLP(16, [16], 2, eps=0.05, seeds=[0], dtype="float64")
    learner = Learner(encoder, StopGradient(), lr=0.05)
    batch = {name: getattr(moments, name)[None] for name in ("Sxx", "Syx", "Syy")}
    learner.advance((batch for _ in range(100_000)), learner.configure_optimizers(100_000))
    W = extract(encoder, torch.eye(16, dtype=torch.float64)[None])["features"]
    metric = torch.linalg.cholesky(moments.Sxx)[None]
    assert float(overlap(whitened(W, metric).mT, whitened(end.encoder.mT[None], metric))[0]) > 0.98


def test_behind_a_random_network_jepa_leaves_the_distractor_and_mae_keeps_it(data, frozen):
    found = lift.lifted(data, frozen, "random", 16, 3, COUNTS, [100])
    assert found.shares["jepa"] < 0.45 < 0.6 < found.shares["mae"]
    assert Whitened(lift.moments(data, frozen)[0]).rank == 64  # 4 places of 16 channels: the rest of 512 is rounding
    assert {probed.name for probed in found.probes} == {"jepa", "mae", "frozen"}


def test_networks_trained_on_the_pairs_stand_beside_the_forecast(data):
    probe = ProbeForecast(data, 0, COUNTS, [])
    training = Training(rates=(1e-4, 3e-4), updates=400)
    found = all_trained(data, 16, {"jepa": training, "mae": training}, probe)
    assert set(found) == {"linear", "relu"}
    assert found["linear"]["jepa"].ahead_of(found["linear"]["mae"])[1] > 0  # as the forecast has it


def test_the_words_of_a_forecast_name_the_frozen_and_the_trained_networks():
    found = spectrum("builtin", **SMALL, updates=100, lift="random", widths=[16], train=True)
    said = " ".join(found.sentences)
    assert "behind the frozen network of widths 16 at its initialisation" in said
    assert "one linear network of each reads" in said and "one relu network of each reads" in said


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"train": True, "updates": 0}, "train needs a length of training"),
        ({"lift": "best"}, "lift must be random, timm:NAME or a checkpoint, found best"),
        ({"lift": "timm:no_such_network"}, "the network cannot be made"),
        ({"lift": networks.random([3, 16, 16], widths=[8])}, "takes 768 numbers, and the samples have 192"),
    ],
)
def test_what_cannot_be_lifted_or_trained_is_refused_in_one_line(options, line):
    with pytest.raises(ValueError, match=line) as refused:
        spectrum("builtin", **SMALL, **({"updates": 20} | options))
    assert "\n" not in str(refused.value)


def test_weights_that_cannot_be_fetched_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"resnet18: its weights cannot be fetched .*; give a network whose weights are here"):
        networks.pretrained("resnet18", [3, 8, 8])


def test_without_labels_nothing_is_lifted(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32))
    with pytest.raises(ValueError, match="there are no labels of two classes; leave --lift out"):
        spectrum(path, k=2, updates=0, lift="random", widths=[8], amplitude=0, sigma=0.5)


def test_the_random_network_suits_the_shape_of_samples():
    assert networks.random([3, 16, 16]).taps == ["stem", "block1", "block2", "features"]
    name, series = networks.named("random", [2, 30], 0, [8])
    assert series.features == networks.FEATURES and "widths 8" in name
