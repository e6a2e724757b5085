"""The distractor's share and its decoding: against least squares, against exact moments, stacked against alone."""

import numpy as np
import pytest
import torch
from lightning import Trainer
from noisy import noisy

from datamodules import GaussianPairs
from models import MLP, Learner, StopGradient
from study.observers import Distractor, Table
from study.observers.alignment import distractor_share
from study.observers.distractor import r2
from study.observers.extract import matrix


def measured(data, activation="relu", observer=None):
    """The observer's metrics of an encoder that has not learned, by name [N]; and the encoder."""
    table = Table()
    learner = Learner(MLP(48, [12], 8, activation, eps=0.3, seeds=[0, 1]), StopGradient(), 1e-12, momentum=0.9)
    quietly = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[table, observer or Distractor(4)], **quietly)
    trainer.fit(learner, datamodule=data)
    frame = table.frame()
    frame = frame[frame["step"] == data.updates]
    return {name: rows.sort_values("network")["value"].to_numpy() for name, rows in frame.groupby("metric")}, learner.encoder


def pixels(**options):
    given = {"size": 4, "count": 5000, "directions": 6, "amplitude": 1.0, "batch": 16, "updates": 4, "chunk": 4}
    return noisy(**given | options)


def sides(seed=0, sets=3, networks=3, n=300, held=200, i=5, o=4):
    """Inputs and outputs that follow from them with noise, per split."""
    g = torch.Generator().manual_seed(seed)
    maps = torch.randn(networks, i, o, generator=g, dtype=torch.float64)
    x = {s: torch.randn(sets, m, i, generator=g, dtype=torch.float64) + 3 for s, m in (("train", n), ("validation", held))}
    return x, {s: v @ maps + 2 * torch.randn(networks, v.shape[1], o, generator=g, dtype=torch.float64) for s, v in x.items()}


def test_r2_is_that_of_least_squares_with_an_intercept_on_held_out_samples():
    x, y = sides()
    together, each = r2(x, y)
    for n in range(3):
        train, held = (np.hstack([x[s][n].numpy(), np.ones((x[s].shape[1], 1))]) for s in ("train", "validation"))
        weights = np.linalg.lstsq(train, y["train"][n].numpy(), rcond=None)[0]
        target = y["validation"][n].numpy()
        residual, total = ((v**2).sum(0) for v in (target - held @ weights, target - target.mean(0)))
        np.testing.assert_allclose(each[n], 1 - residual / total, atol=1e-5)
        assert float(together[n]) == pytest.approx(1 - residual.sum() / total.sum(), abs=1e-5)
    assert 0.2 < float(together[0]) < 0.9


@pytest.mark.parametrize("sets", [1, 3])
def test_stacked_networks_are_those_alone(sets):
    x, y = sides(sets=sets)
    for inputs, outputs in ((x, y), (y, x)):  # one set of coefficients may belong to all networks, on either side
        together, each = r2(inputs, outputs)
        for n in range(3):
            one = [{s: v[min(n, len(v) - 1)][None] for s, v in side.items()} for side in (inputs, outputs)]
            for stacked, alone in zip((together, each), r2(*one), strict=True):
                torch.testing.assert_close(stacked[n], alone[0], rtol=1e-10, atol=1e-12)


def test_what_does_not_vary_explains_nothing_and_is_not_explained():
    x, y = sides()
    constant = {s: torch.ones(1, v.shape[1], 2) for s, v in x.items()}
    assert (r2(x, {s: v.expand(3, -1, -1) for s, v in constant.items()})[1] == 0).all()
    assert (r2(constant, y)[0].abs() < 0.05).all()
    found, _ = measured(pixels(amplitude=0.0, count=500))
    assert (found["distractor/share"] == 0).all() and (found["distractor/decoded"] == 0).all()


@pytest.mark.parametrize("kind", ["global", "patch", "smooth"])
def test_of_a_linear_encoder_the_share_is_that_of_the_exact_moments(kind):
    data = pixels(distractor=kind, seeds=[3, 4], amplitude=2.0)
    found, encoder = measured(data, "linear")
    moments = data.moments()
    Sxx = torch.stack([m.Sxx for m in moments])
    exact = distractor_share(matrix(encoder), Sxx, data.noise.D_SdK.double(), data.noise.amplitude)
    np.testing.assert_allclose(found["distractor/share"], exact, atol=0.03)
    assert float(exact.min()) > 0.05 and float(exact.max()) < 0.95
    # Features and coefficients are jointly linear: R^2 of coefficient a_j is that of the best linear estimate.
    W, DW = matrix(encoder), matrix(encoder) @ data.noise.D_SdK.double() * data.noise.amplitude
    best = (DW * torch.linalg.solve(W @ Sxx @ W.mT, DW)).sum(1).mean(1)
    np.testing.assert_allclose(found["distractor/decoded"], best, atol=0.03)


def test_a_nonlinear_function_of_the_distractor_is_decoded_as_far_as_it_is_linear():
    """Of |a| a linear map of a explains nothing, and nothing of a is read off |a|; of relu(a) it explains Cov^2 = 1/4."""
    g = torch.Generator().manual_seed(1)
    a = {s: torch.randn(1, 20_000, 3, generator=g) for s in ("train", "validation")}
    folded, halved = ({s: f(v) for s, v in a.items()} for f in (torch.abs, torch.relu))
    assert float(r2(a, folded)[0]) == pytest.approx(0, abs=0.01)
    assert float(r2(folded, a)[0]) == pytest.approx(0, abs=0.01)
    variance = 0.5 - 1 / (2 * np.pi)
    assert float(r2(a, halved)[0]) == pytest.approx(0.25 / variance, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Distractor(train=1), "train must be at least 2 images, found 1"),
        (lambda: Distractor(test=0), "test must be at least 2 images, found 0"),
        (
            lambda: measured(GaussianPairs([1.0] * 48, [0.5] * 48, batch=8, updates=2, chunk=1)),
            "needs noise with a distractor, found GaussianPairs without; remove Distractor",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
