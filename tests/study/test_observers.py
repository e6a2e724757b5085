"""Observers measure what they say, and leave training bit-equal."""

import numpy as np
import pandas as pd
import pytest
import torch
from lightning import Trainer
from noisy import noisy
from PIL import Image
from scipy.stats import spearmanr

from datamodules import GaussianPairs, Moments
from models import EMA, MLP, Learner, Pixels, StopGradient
from study.observers import Alignment, Distractor, Health, Loss, Probe, Table
from study.observers.alignment import distractor_share, gains, learning_times, overlap, rank_correlation, top_rows, whitened
from study.observers.extract import best_linear, extract, matrix, mean_jacobian
from study.observers.health import effective_rank
from study.observers.loss import Diverged
from study.observers.probe import Sample

TARGETS = {"jepa": StopGradient, "ema": lambda: EMA(0.9), "mae": Pixels}


def pixels(**options):
    return noisy(
        **{"size": 4, "count": 300, "directions": 6, "amplitude": 2.0, "batch": 16, "updates": 12, "chunk": 4, **options}
    )


def trained(callbacks, target=StopGradient, activation="relu", data=None, lr=1e-3):
    learner = Learner(MLP(48, [12], 8, activation, eps=0.3, seeds=[0, 1]), target(), lr, momentum=0.9)
    quietly = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=callbacks, **quietly)
    trainer.fit(learner, datamodule=data or pixels())
    return learner


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_weights_are_bit_equal_with_and_without_observers(target, activation):
    observers = [
        Table(), Loss(4), Alignment(4, k=3), Probe(4, 200, 40, 100, labels=[30]), Distractor(4, 200, 40), Health(4, 20),
    ]  # fmt: skip
    bare, observed = (trained(callbacks, TARGETS[target], activation) for callbacks in ([], observers))
    for (name, a), (_, b) in zip(bare.state_dict().items(), observed.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    table = observers[0].frame()
    assert set(table["step"]) == {0, 4, 8, 12}
    assert {"probe/online/features/noisy/test", "linear/distractor", "distractor/share", "linear/order/rho"} <= set(
        table["metric"]
    )
    # The test split is read once per encoder.
    assert (table[table["metric"] == "probe/online/features/noisy/test"]["step"] == 12).all()
    assert (table[table["metric"] == "probe/random/features/noisy/test"]["step"] == 0).all()


def test_results_do_not_depend_on_the_chunk():
    one, many = (trained([], data=pixels(chunk=c)) for c in (1, 5))
    for a, b in zip(one.parameters(), many.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gain_of_rotated_diagonal_networks():
    """W = U diag(g) Q^T has gain g_i along direction q_i."""
    Q, U = (torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0] for _ in range(2))
    g = torch.tensor([3.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    Sxx = Q @ torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)) @ Q.T
    W = (U * g) @ Q.T
    torch.testing.assert_close(gains(W[None], Sxx[None], Q[None])[0], g)
    root = torch.linalg.cholesky(Sxx[None])
    rows = top_rows(W[None], root, 2)
    for first, expected in ((0, 1.0), (1, 0.5), (2, 0.0)):
        found = overlap(rows, whitened(Q[None, :, first : first + 2], root))
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_gain_where_moments_do_not_commute():
    """A network made of one generalised feature, W = g u v_1^T, has gain g there and none along the others."""
    a, b = (torch.randn(5, 5, dtype=torch.float64) for _ in range(2))
    moments = Moments(a @ a.T + torch.eye(5), b @ b.T, a @ a.T)
    v = moments.features().directions
    W = 0.7 * torch.eye(3, 1, dtype=torch.float64) @ v[:, 1:2].T
    expected = torch.tensor([0, 0.7, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(gains(W[None], moments.Sxx[None], v[None])[0], expected, rtol=1e-8, atol=1e-8)


def test_overlap_of_random_spaces_is_chance():
    rows = torch.linalg.qr(torch.randn(2000, 20, 4, dtype=torch.float64))[0].mT
    assert float(overlap(rows, torch.eye(20, 4, dtype=torch.float64)[None]).mean()) == pytest.approx(4 / 20, abs=0.01)


def test_distractor_share_is_the_share_of_variance():
    data = pixels(batch=20_000, seeds=[3])
    data.setup()
    stack = MLP(48, [], 5, eps=1.0, seeds=[1], dtype="float64")
    (moments,) = data.moments()
    share = distractor_share(matrix(stack), moments.Sxx[None], data.noise.D_SdK.double(), 2.0)
    other = pixels(batch=20_000, seeds=[3], amplitude=0.0)  # the same pairs without the distractor
    other.setup()
    variances = []
    for source in (data, other):
        x = source.pairs(0, torch.device("cpu")).x.values.double()
        variances.append(float(extract(stack, x)["features"].square().mean(1).sum()))
    assert float(share) == pytest.approx(1 - variances[1] / variances[0], abs=0.02)


def test_linear_maps_of_encoders():
    """Both maps are exact for a linear encoder; the Jacobian of a nonlinear one is the mean of autograd's."""
    x = torch.randn(2, 400, 7, dtype=torch.float64)
    linear = MLP(7, [6], 5, eps=0.5, seeds=[0, 1], dtype="float64")
    expected = linear.layers[1].detach() @ linear.layers[0].detach()
    gram = x.mT @ x / 400
    x0 = x - x.mean(1, keepdim=True)
    torch.testing.assert_close(matrix(linear), expected)
    torch.testing.assert_close(
        best_linear(extract(linear, x0)["features"], x0, torch.linalg.cholesky(x0.mT @ x0 / 400)), expected
    )
    relu = MLP(7, [6], 5, "relu", eps=0.5, seeds=[0, 1], dtype="float64")
    found = mean_jacobian(relu, x[:, :20])
    one = torch.stack([
        torch.autograd.functional.jacobian(lambda v, n=n, b=b: relu(torch.stack([v, v])[:, None])["features"][n, 0], x[n, b])
        for n in range(2) for b in range(20)
    ])  # fmt: skip
    torch.testing.assert_close(found, one.view(2, 20, 5, 7).mean(1))
    assert gram.shape == (2, 7, 7)


def test_learning_times_and_rank_correlation():
    steps = torch.arange(5, dtype=torch.float64) * 10
    gain = torch.tensor([[0, 0, 1], [1, 0, 1], [1, 1, 0.5], [1, 3, 0.5], [1, 4, 0.2]], dtype=torch.float64)[:, None]
    assert learning_times(steps, gain)[0].tolist() == [5, 25, float("inf")]
    a, b = torch.rand(3, 9, dtype=torch.float64), torch.rand(3, 9, dtype=torch.float64)
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected)
    assert rank_correlation(torch.ones(1, 4), torch.rand(1, 4)).isnan().all()


def test_effective_rank():
    assert float(effective_rank(torch.eye(6)[None] * 3)) == pytest.approx(6)
    assert float(effective_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0]))[None])) == pytest.approx(2)
    assert float(effective_rank(torch.zeros(1, 4, 4))) == 0


def test_loss_names_update_and_network_that_diverged():
    with pytest.raises(Diverged, match=r"network 1 \(lr 1000\) is not finite after update \d+") as caught:
        trained([Table(), Loss(4)], lr=[1e-3, 1e3])
    assert caught.value.network == 1


def test_every_data_set_has_as_many_features_recorded():
    """Also where the halves by rho and by lambda share features in one set and not in another."""
    d = 20
    rising, falling = torch.linspace(0.1, 0.9, d).tolist(), torch.linspace(0.9, 0.1, d).tolist()
    data = GaussianPairs([rising, falling], [rising, rising])
    chosen = [Alignment(recorded=6).chosen(f) for f in data.features()]
    assert [len(c) for c in chosen] == [6, 6]
    assert {17, 18, 19} <= set(chosen[0]) & set(chosen[1])
    assert chosen[0] == list(range(14, 20)) and chosen[1] == [0, 1, 2, 17, 18, 19]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Alignment(every=0), "every must be"),
        (lambda: Probe(train=0), "train must be"),
        (lambda: Probe(labels=[100, 0]), "labels must be at least 1 each, found 0"),
        (lambda: trained([Alignment(k=9)]), "k must be from 1 to"),
        (lambda: trained([Loss()]), "record into a Table"),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_probe_needs_labels():
    data = GaussianPairs([1.0] * 48, [0.5] * 48, batch=8, updates=2, chunk=1)
    with pytest.raises(ValueError, match="needs labelled samples, found GaussianPairs without labels"):
        trained([Table(), Probe()], data=data)


def test_numbers_of_labels_add_test_accuracies_at_the_end_and_at_the_start_and_change_no_other_row():
    tables, data = (Table(), Table()), pixels(seeds=[4, 5])
    learner = trained([tables[0], Probe(4, 200, 40, 100, labels=[30, 60, 200, 5000])], data=data)
    trained([tables[1], Probe(4, 200, 40, 100)], data=pixels(seeds=[4, 5]))
    few, all_labels = (table.frame() for table in tables)
    added = few[few["metric"].str.contains("-")]
    pd.testing.assert_frame_equal(few.drop(added.index).reset_index(drop=True), all_labels, check_exact=True)
    encoders = {"probe/pixels": 0, "probe/random/features": 0, "probe/online/features": 12}
    assert {(metric, step) for metric, step in zip(added["metric"], added["step"], strict=True)} == {
        (f"{name}/noisy/test-{n}", step) for name, step in encoders.items() for n in (30, 60)
    }
    sample = Sample.of(data, {"train": 200, "validation": 40, "test": 100}, torch.device("cpu"))
    untrained = MLP(48, [12], 8, "relu", eps=0.3, seeds=[0, 1])
    features = {
        "probe/pixels": sample.views,
        "probe/random/features": {split: extract(untrained, x)["features"] for split, x in sample.views.items()},
        "probe/online/features": {split: extract(learner.encoder, x)["features"] for split, x in sample.views.items()},
    }
    for name, splits in features.items():
        for n, expected in sample.few(splits, [30, 60]).items():
            assert few[few["metric"] == f"{name}/noisy/test-{n}"]["value"].tolist() == expected.test.tolist()


def test_a_probe_needs_two_classes_and_training_does_not(tmp_path):
    for i in range(90):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 5, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    images = {"images": "folder", "root": tmp_path}
    trained([Table(), Alignment(4, k=3), Health(4, 10)], data=pixels(**images))
    with pytest.raises(
        ValueError, match=r"at least 2 classes, found 1; give pictures one sub-folder per class, or remove Probe"
    ):
        trained([Table(), Probe()], data=pixels(**images))


def test_alignment_of_a_nonlinear_encoder_on_gaussian_pairs():
    table = Table()
    trained([table, Alignment(4, k=3)], data=GaussianPairs([1.0] * 48, [0.5] * 48, batch=8, updates=4, chunk=2))
    assert {"linear/r2", "jacobian/overlap/rho"} <= set(table.frame()["metric"])
