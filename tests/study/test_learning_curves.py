"""Forecasts of gains over time against each other where moments commute, and the experiment that holds them against networks."""

import json

import numpy as np
import pytest
import torch

from datamodules import GaussianPairs
from study import cli
from study.experiments import EXPERIMENTS
from study.experiments.learning_curves import LearningCurves, half_way
from study.forecast.gains import along_principal, by_flow, modes
from study.observers.maps import gains

LAM, RHO, EPS, DEPTH = [3.0, 2.0, 1.0], [0.6, 0.8, 0.95], 0.1, 2
AT = np.linspace(0, 12, 30)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_where_moments_commute_all_forecasts_are_the_exact_modes(objective):
    (moments,) = GaussianPairs(LAM, RHO, basis="rotated").moments()
    features = moments.features()
    expected = modes(objective, AT, features.lam.numpy(), features.rho.numpy(), DEPTH, EPS)
    for W in (along_principal(objective, AT, moments, DEPTH, EPS), by_flow(objective, AT, moments, DEPTH, EPS, 3)):
        found = gains(W, moments.Sxx[None], features.directions[None]).numpy()
        np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_the_flow_in_a_subspace_is_exact_in_it_and_leaves_the_rest_as_it_starts(objective):
    (moments,) = GaussianPairs(LAM, RHO, basis="rotated").moments()
    features = moments.features()
    found = gains(by_flow(objective, AT, moments, DEPTH, EPS, 2), moments.Sxx[None], features.directions[None]).numpy()
    expected = modes(objective, AT, features.lam.numpy(), features.rho.numpy(), DEPTH, EPS)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=2e-3)
    np.testing.assert_allclose(found[:, 2], EPS, rtol=1e-9)


def test_half_of_the_way_is_interpolated_and_never_reached_by_what_shrinks():
    gain = np.stack([np.array([0.0, 1.0, 2.0, 4.0]), np.array([4.0, 3.0, 2.0, 1.0])], -1)[:, None]
    np.testing.assert_array_equal(half_way(gain), [[2.0, np.inf]])


def test_networks_and_forecasts_are_compared_on_the_page_and_a_run_prints_its_own_claims(tmp_path, capsys):
    options = [
        "--size",
        "4",
        "--count",
        "600",
        "--directions",
        "2",
        "--updates",
        "200",
        "--batch",
        "32",
        "--seeds",
        "2",
        "--width",
        "6",
    ]
    assert cli.main(["run", "learning_curves", *options, "--out", str(tmp_path), "--device", "cpu"]) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    names = ("flow", "flow-over-modes", "principal-over-modes")
    assert {c["id"] for c in claims} == {f"learning_curves/builtin/{name}-{o}" for name in names for o in ("jepa", "mae")}
    assert {c["verdict"] for c in claims} == {"measurement"}
    page = (tmp_path / "report" / "experiments" / "learning_curves.html").read_text()
    assert "flow-48" in page and "seconds per data set" in page and page.count("<svg") == 1
    capsys.readouterr()
    assert cli.main(["run", "learning_curves", *options[:-1], "5", "--out", str(tmp_path), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.count("predicted") == 6 and "6 measurements under other conditions" in said


@pytest.mark.parametrize("name", ["pixels", "networks", "forecast", "lift", "learning_curves"])
def test_pictures_have_the_size_that_the_help_of_an_experiment_says(name):
    kind = EXPERIMENTS[name]
    assert [kind().made.shape, kind(size=4).made.shape] == [[3, kind.size, kind.size], [3, 4, 4]]


def test_a_source_without_a_size_keeps_its_shape(tmp_path):
    np.save(tmp_path / "own.npy", np.zeros((40, 5), np.float32))
    assert LearningCurves(images="arrays", root=tmp_path / "own.npy").made.shape == [5]


def test_the_forecast_is_of_the_features_that_the_networks_are_measured_on(tmp_path):
    """Whose gains at the start are eps along each, and whose times are those of the measurements."""
    experiment = LearningCurves(size=4, count=600, directions=2, updates=20, batch=16, seeds=2, width=6)
    result = experiment.forecast("jepa", 48).execute(tmp_path)
    first = [result.rows(f"gain/modes/{i}").value[0] for i in range(48)]
    np.testing.assert_allclose(first, experiment.eps, rtol=1e-6)
    assert result.networks == 2 and torch.tensor(experiment.steps()).diff().min() > 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"rate": 0.0}, "rate must be finite and positive, found 0.0"),
        ({"rates": (1e-3,)}, "rates have no effect"),
    ],
)
def test_impossible_options_are_refused(options, line):
    with pytest.raises(ValueError, match=r"must be|no effect") as refused:
        LearningCurves(**options)
    assert line in str(refused.value)
