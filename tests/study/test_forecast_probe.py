"""The probe forecast against the observer that probes trained encoders, and its intervals against repetitions."""

import numpy as np
import pytest
import torch
from lightning import Trainer
from noisy import noisy

from models import MLP, Learner, StopGradient
from study.forecast.end_state import Whitened, share
from study.forecast.moments import Blocks
from study.forecast.probe import ProbeForecast, bootstrapped, random_projection
from study.observers import Probe

COUNTS = {"train": 1500, "validation": 400, "test": 800}


@pytest.fixture(scope="module")
def data():
    made = noisy(size=8, count=3000, directions=20)
    made.setup()
    return made


@pytest.fixture(scope="module")
def forecast(data):
    return ProbeForecast(data, counts=COUNTS, labels=[100])


def test_the_forecast_of_an_encoder_is_what_the_observer_measures(data, forecast):
    encoder = MLP(192, [12], 10, seeds=[3])
    observer = Probe(labels=[100], **COUNTS)
    learner = Learner(encoder, StopGradient())
    learner.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    expected = observer.prepare(learner, data)
    W = (encoder.layers[1] @ encoder.layers[0]).detach()[0]
    few, full = forecast.of({"random": W})
    assert (few.labels, full.labels) == (100, 1500)
    assert full.accuracy == pytest.approx(float(expected["probe/random/features/noisy/test"]), abs=2e-3)
    assert few.accuracy == pytest.approx(float(expected["probe/random/features/noisy/test-100"]), abs=2e-3)
    assert forecast.raw()[-1].accuracy == pytest.approx(float(expected["probe/pixels/noisy/test"]), abs=1e-6)


def test_jepas_end_state_is_read_better_than_maes_under_a_strong_distractor(data, forecast):
    moments = Whitened(Blocks.streamed(data).moments())
    rows = forecast.of({"jepa": moments.jepa(16, 3).encoder, "mae": moments.mae(16, 3).encoder})
    for labels in (100, 1500):
        jepa, mae = (row for row in rows if row.labels == labels)
        gap, low, high = jepa.ahead_of(mae)
        assert gap == pytest.approx(jepa.accuracy - mae.accuracy) and 0.05 < low < gap < high
    D, A = data.directions()["distractor"]
    assert share(moments.jepa(16, 3).encoder, moments.moments.Sxx, D[0], A) < 0.05
    assert share(moments.mae(16, 3).encoder, moments.moments.Sxx, D[0], A) > 0.5


def test_probes_together_are_those_alone(data, forecast):
    one, other = random_projection(8, 192), random_projection(8, 192, seed=1)
    both = forecast.of({"a": one, "b": other}, [1500])
    assert [row.name for row in both] == ["a", "b"]
    for row, encoder in zip(both, (one, other), strict=True):
        assert row.accuracy == pytest.approx(forecast.of({"x": encoder}, [1500])[0].accuracy, abs=2e-3)
    chosen = forecast.validation(torch.stack([one, other]))
    torch.testing.assert_close(chosen, torch.tensor([row.validation for row in both]).double(), atol=3e-3, rtol=0)


def test_intervals_of_one_draw_are_those_of_the_binomial():
    right = (torch.rand(1, 4000, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    low, high = bootstrapped(right)
    mean = float(right.mean())
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * (mean * (1 - mean) / 4000) ** 0.5, rel=0.1)


def test_intervals_over_draws_hold_their_spread():
    """Draws that differ by far more than samples do: the interval is Student's without its tails, sd / sqrt(5) wide."""
    right = torch.linspace(0.2, 0.6, 5)[:, None].expand(5, 2000)
    low, high = bootstrapped(right)
    spread = float(np.std(np.linspace(0.2, 0.6, 5), ddof=1)) / 5**0.5
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_numbers_of_labels_beyond_the_samples_are_left_out(data):
    assert ProbeForecast(data, counts=COUNTS, labels=[100, 1500, 9000]).numbers == [100, 1500]
    with pytest.raises(ValueError, match="labels must be at least 1"):
        ProbeForecast(data, counts=COUNTS, labels=[0])
