"""The forecast as a whole: who is ahead, in words and as JSON, and when it says that it cannot tell."""

import json

import numpy as np
import pytest
import torch
from noisy import noisy

from datamodules import SourcePairs
from datamodules.noise import White
from datamodules.pairings import Lag
from datamodules.sources import Arrays
from study.files import strict_json
from study.forecast.forecast import Row, spectrum
from study.forecast.probe import Probed
from study.forecast.timed import Training

COUNTS = {"train": 1200, "validation": 400, "test": 800}
KEYS = {"lam", "rho", "rho_low", "rho_high", "times", "probe", "verdict", "summary"}


@pytest.fixture(scope="module")
def strong():
    data = noisy(size=8, count=2500, directions=20)
    return spectrum(data, k=16, labels=[100], counts=COUNTS)


def probed(shares, n=2000):
    """Probes that have the first so many of n samples right."""
    return {name: Probed(name, n, 0.5, (torch.arange(n) < share * n).float()[None]) for name, share in shares.items()}


def test_under_a_strong_distractor_jepa_is_ahead_and_the_words_say_so(strong):
    assert strong.verdict in ("jepa", "neither")
    gap, low, _ = strong.rows[-1].gap()
    assert 0.05 < low < gap
    assert strong.shares["jepa"] < 0.05 < 0.5 < strong.shares["mae"]
    assert 3 <= len(strong.sentences) <= 6
    assert f"JEPA - MAE {100 * gap:+.1f} points" in strong.as_json()["summary"]


def test_json_has_the_keys_that_are_fixed(strong):
    found = json.loads(strict_json(strong.as_json()))
    assert set(found) == KEYS and set(found["times"]) == {"jepa", "mae"}
    assert [row["labels"] for row in found["probe"]] == [100, 1200]
    assert all(set(row) == {"labels", "jepa", "mae", "raw"} for row in found["probe"])
    assert {len(found[name]) for name in ("lam", "rho", "rho_low", "rho_high")} == {16}
    assert all(low <= rho <= high for low, rho, high in zip(*(found[n] for n in ("rho_low", "rho", "rho_high")), strict=True))


def test_after_few_updates_the_words_name_them_and_not_the_end():
    data = noisy(size=8, count=2500, directions=20, gamma=0.95, amplitude=10.0)
    found = spectrum(data, k=16, labels=[], training=Training(rates=(1e-4,), updates=100), counts=COUNTS)
    assert found.curves["jepa"].last.update == 100 and found.shares["jepa"] > 0.8
    assert "after 100 updates" in " ".join(found.sentences)


def test_without_labels_nothing_is_said_of_probes(tmp_path):
    path = tmp_path / "series.npy"
    np.save(path, np.cumsum(np.random.default_rng(0).normal(size=(6000, 2)), 0).astype(np.float32) / 50)
    data = SourcePairs(Arrays(path, window=8, step=4), White(0.1), Lag(2), count=2000)
    found = spectrum(data, k=4)
    assert found.rows == [] and found.verdict == "cannot tell"
    assert found.as_json()["probe"] == [] and "probe would read" not in found.as_json()["summary"]


def test_two_views_that_are_the_same_are_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32))
    with pytest.raises(ValueError, match="every rho is 1"):
        spectrum(SourcePairs(Arrays(path)), k=2)


def test_k_beyond_the_inputs_is_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32))
    with pytest.raises(ValueError, match="k must be from 1 to 6"):
        spectrum(SourcePairs(Arrays(path), White(0.5)), k=7)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ({"jepa": 0.5, "mae": 0.3, "raw": 0.2, "pca": 0.2}, "jepa"),
        ({"jepa": 0.3, "mae": 0.5, "raw": 0.2, "pca": 0.2}, "mae"),
        ({"jepa": 0.5, "mae": 0.5, "raw": 0.2, "pca": 0.2}, "cannot tell"),
        ({"jepa": 0.5, "mae": 0.3, "raw": 0.5, "pca": 0.2}, "neither"),
        ({"jepa": 0.3, "mae": 0.5, "raw": 0.2, "pca": 0.6}, "neither"),
    ],
)
def test_the_verdict_is_beyond_the_interval_and_over_the_baselines(shares, verdict):
    assert Row(2000, probed(shares)).verdict() == verdict
