"""What is held of coordinates: against exact moments, canonical correlations by another road, and planted features."""

import numpy as np
import pytest
import torch
from lightning import Trainer
from noisy import noisy

from datamodules import GaussianPairs
from models import EMA, MLP, Joint, Learner, Perceptron, Stack, StopGradient, VarianceCovariance
from models.networks import Convolution, ViT
from study.observers import Alignment, Distractor, Health, Loss, Probe, Table, alignment, views
from study.observers.coordinates import gains, r2
from study.observers.distractor import explained
from study.observers.extract import matrix

SPLITS = ("train", "validation")
QUIETLY = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
NETWORK = {
    "mlp": lambda: MLP(48, [12], 8, "relu", eps=0.3, seeds=[0, 1]),
    "convolution": lambda: Stack(lambda: Convolution(4, widths=[4], patch=2, features=5, groups=2), [3, 4, 4], seeds=[0, 1]),
    "vit": lambda: Stack(lambda: ViT(4, patch=2, width=8, depth=1, heads=2, features=5), [3, 4, 4], seeds=[0, 1]),
}


def data(**options):
    return noisy(
        **{"size": 4, "count": 300, "directions": 4, "amplitude": 2.0, "batch": 16, "updates": 8, "chunk": 4, **options}
    )


def fitted(encoder, callbacks, pairs, objective=StopGradient, **options):
    learner = Learner(encoder, objective(), 1e-3, **options)
    Trainer(max_epochs=1, accelerator="cpu", callbacks=callbacks, **QUIETLY).fit(learner, datamodule=pairs)
    return learner


def last(table, network=0):
    frame = table.frame()
    return frame[frame["network"] == network].groupby("metric")["value"].last()


def test_of_a_linear_encoder_coordinates_are_exact():
    """Gains are those of its matrix W, and the mean squared canonical correlation is tr(M^-1 G^T F^-1 G) / k with F = W Sxx W^T,
    G = W Sxx V, M = V^T Sxx V."""
    pairs, table, k = data(seeds=[3, 4]), Table(), 3
    learner = fitted(MLP(48, [12], 8, "linear", eps=0.3, seeds=[0, 1], dtype="float64"), [table, Alignment(4, k=k)], pairs)
    for n, moments in enumerate(pairs.moments()):
        found, features, W = last(table, n), moments.features(), matrix(learner.encoder)[n]
        for i in range(16):
            assert found[f"coordinates/gain/{i}"] == pytest.approx(found[f"linear/gain/{i}"], rel=1e-10)
        for by in ("rho", "lam"):
            V = features.top(by, k)
            F, G, M = W @ moments.Sxx @ W.T, W @ moments.Sxx @ V, V.T @ moments.Sxx @ V
            exact = torch.linalg.solve(M, G.T) @ torch.linalg.solve(F, G)
            assert found[f"coordinates/{by}"] == pytest.approx(float(exact.trace()) / k, rel=1e-3)  # by a ridge of 1e-6
        assert found["coordinates/chance"] == pytest.approx(8 / 48) and found["overlap/chance"] == pytest.approx(3 / 48)
        assert found["directions/residual/rho"] < 1e-10


def test_the_held_out_r2_of_white_coordinates_is_their_mean_squared_canonical_correlation():
    g = torch.Generator().manual_seed(0)
    n, k = 40_000, 3
    mix = torch.randn(6, 5, generator=g, dtype=torch.float64)
    c, rest = ({s: torch.randn(1, n, m, generator=g, dtype=torch.float64) for s in SPLITS} for m in (k, 3))
    f = {s: torch.cat([c[s], rest[s]], -1) @ mix for s in SPLITS}
    orthonormal = [np.linalg.qr(v["validation"][0].numpy() - v["validation"][0].numpy().mean(0))[0] for v in (f, c)]
    canonical = np.linalg.svd(orthonormal[0].T @ orthonormal[1], compute_uv=False)
    assert float(r2(f, c)[1].mean()) == pytest.approx((canonical**2).mean(), abs=0.01)


def test_chance_adds_nothing_to_gains():
    """Of features that know nothing of a coordinate the gain is 0 half of the time; estimated in one sample it would never be."""
    g = torch.Generator().manual_seed(0)
    f, c = ({s: torch.randn(N, 50, k, generator=g) for s in SPLITS} for N, k in ((500, 4), (1, 2)))
    found = gains(f, c, torch.ones(1, 2))
    assert 0.4 < float((found == 0).double().mean()) < 0.6
    planted = {s: torch.cat([3 * c[s][..., :1], f[s][:1, :, :1]], -1) for s in SPLITS}
    assert float(gains(planted, c, torch.ones(1, 2))[0, 0]) == pytest.approx(3, rel=0.3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_share_of_a_distractor_is_free_of_the_bias_of_the_fit(share):
    """Of features that hold this much of 60 coefficients, fitted on 200 samples: mean over 200 networks. What is held may be another
    function too, uncorrelated with the coefficients; the R^2 itself would be too low by (1 - share) 60 / 138."""
    g = torch.Generator().manual_seed(1)
    a = {s: torch.randn(200, n, 60, generator=g, dtype=torch.float64) for s, n in (("train", 200), ("validation", 200))}
    rest = {s: (v[..., :8].square() - 1) / 2**0.5 for s, v in a.items()}
    features = {s: share**0.5 * v[..., 10:18] + (1 - share) ** 0.5 * rest[s] for s, v in a.items()}
    inflated, _ = r2(a, features)
    found = 1 - (1 - inflated) * 200 * 138 / (201 * 198)
    assert float(found.mean()) == pytest.approx(share, abs=0.02)
    torch.testing.assert_close(explained(a, features), found.clamp(min=0))
    assert float(inflated.mean()) < share - 0.03 or share == 0.9


@pytest.mark.parametrize("network", NETWORK)
def test_beyond_matrices_coordinates_are_what_they_are_with_them(network, monkeypatch, capsys):
    """Directions are searched, views are made again each time, and no linear map is fitted, which is said in one line."""
    dense, free = Table(), Table()
    pairs = {"count": 3000, "distractor": "patch"}
    fitted(NETWORK[network](), [dense, Alignment(4, k=2, recorded=6)], data(**pairs))
    assert "linear fit" not in capsys.readouterr().err
    monkeypatch.setattr(alignment, "DENSE", 40)
    monkeypatch.setattr(views, "KEPT", 0)
    monkeypatch.setattr(views, "MADE", 48 * 100)
    fitted(NETWORK[network](), [free, Alignment(4, k=2, recorded=6)], data(**pairs))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("study: ")]
    assert said == ["study: Alignment records coordinates and no linear fit: 48 inputs are more than 40"]
    for n in range(2):
        one, other = last(dense, n), last(free, n)
        assert not [name for name in other.index if name.startswith(("linear", "jacobian"))]
        assert {"coordinates/order/rho", "coordinates/gain/5"} <= set(other.index)
        assert max(other["directions/residual/rho"], other["directions/residual/lam"]) < 1e-5
        for by in ("rho", "lam"):
            assert other[f"coordinates/{by}"] == pytest.approx(one[f"coordinates/{by}"], abs=1e-3)


def test_too_few_samples_for_a_linear_fit_leave_the_coordinates(capsys):
    table = Table()
    fitted(NETWORK["mlp"](), [table, Alignment(4, k=2, sample=40)], data())
    assert (
        "study: Alignment records coordinates and no linear fit: 40 training inputs are no more than 48"
        in capsys.readouterr().err
    )
    assert {"coordinates/rho", "coordinates/order/lam"} <= set(last(table).index) and "linear/r2" not in last(table).index


@pytest.mark.parametrize("network", ["convolution", "vit"])
@pytest.mark.parametrize(
    "objective", [lambda: EMA(0.9), lambda: Joint(VarianceCovariance(), embedding=6)], ids=["ema", "vicreg"]
)
def test_weights_of_any_network_are_bit_equal_with_and_without_observers(network, objective):
    observers = [
        Table(), Loss(4), Alignment(4, k=3), Probe(4, 200, 40, 100, labels=[30]), Distractor(4, 200, 40), Health(4, 20),
    ]  # fmt: skip
    states = [
        fitted(NETWORK[network](), made, data(), objective, predictor=Perceptron([7]), optimizer="adamw").state_dict()
        for made in ([], observers)
    ]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_coordinates_need_no_labels_and_no_distractor():
    table = Table()
    fitted(NETWORK["mlp"](), [table, Alignment(2, k=3)], GaussianPairs([1.0] * 48, [0.5] * 48, batch=8, updates=4, chunk=2))
    assert 0 <= last(table)["coordinates/rho"] <= 1
