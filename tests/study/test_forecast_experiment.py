"""The experiment that holds the forecast against trained networks: what it asks for, and what is made of its tables."""

import json

import numpy as np
import pytest

from study import cli
from study.experiments import EXPERIMENTS
from study.experiments.forecast import CELLS, PLANE, Forecast
from study.statistics import rank_correlation, resampled

SMALL = [
    "--size", "8", "--count", "2000", "--directions", "128", "--updates", "8", "--short", "4", "--batch", "16", "--seeds", "2",
    "--cells", "2", "--networks", "[linear]", "--rates", "[1e-5]",
]  # fmt: skip


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    out = tmp_path_factory.mktemp("forecast") / "runs"
    assert cli.main(["run", "forecast", *SMALL, "--out", str(out), "--device", "cpu"]) == 0
    return out


def test_forecasts_and_trained_networks_are_compared_at_both_lengths(executed):
    claims = json.loads((executed / "claims.json").read_text())
    expected = {f"forecast/builtin/{name}-linear-{n}" for name in ("rank", "error", "end-state") for n in (4, 8)}
    assert {c["id"] for c in claims} == expected
    assert {c["verdict"] for c in claims} == {"measurement"}, "these are not the conditions of the claims"
    assert all(c["low"] <= c["measured"] <= c["high"] and c["n"] == 2 for c in claims)
    page = (executed / "report" / "experiments" / "forecast.html").read_text()
    assert page.count("<svg") == 2 and "all cells, 300 labels, the end state" in page


def test_a_forecast_is_kept_and_reads_back_what_it_says(executed, study):
    import pandas as pd

    (path,) = executed.glob("forecast/forecast-global-128-14-0.4-same-*/metrics.parquet")
    table = pd.read_parquet(path).set_index(["metric", "step"])["value"]
    for state, step in (("end", 0), ("timed", 4), ("timed", 8)):
        for objective in ("jepa", "mae"):
            assert 0 <= table[f"forecast/{state}/{objective}/all", step] <= 1
            assert 0 <= table[f"forecast/{state}/{objective}/share", step] <= 1
    assert table["forecast/timed/jepa/rate", 8] == 1e-5
    assert {"forecast/end/raw/all", "forecast/end/pca/300"} <= set(table.index.get_level_values(0))
    before = path.stat().st_mtime_ns
    assert study("run", "forecast", *SMALL, "--out", executed, "--device", "cpu")[0] == 0
    assert path.stat().st_mtime_ns == before


def test_the_forecast_sees_no_seed_that_is_trained_on():
    experiment = Forecast()
    seeds = experiment.forecast(CELLS[0]).config["data"]["init_args"]["seeds"]
    assert not set(seeds) & set(range(experiment.seeds))


def test_forecast_and_trainings_have_the_same_rates_lengths_and_pairs():
    experiment = Forecast()
    for cell in CELLS:
        options = experiment.forecast(cell).config
        trained = experiment.run(cell, "jepa", "linear", 500, [], "name", [1e-4], [0], [0]).config
        assert options["forecast"]["rates"] == list(experiment.rates) and options["forecast"]["lengths"] == [125, 500]
        for same in ("source", "noise", "pairing", "batch", "count"):
            assert options["data"]["init_args"][same] == trained["data"]["init_args"][same]
        encoder = trained["model"]["encoder"]["init_args"]
        assert options["forecast"]["depth"] == len(encoder["hidden"]) + 1
        assert options["forecast"]["eps"] == encoder["eps"] and options["forecast"]["k"] == encoder["features"]


def test_cells_differ_and_span_the_correlations_of_the_distractor():
    assert len(CELLS) == len(set(CELLS)) == len({cell.name for cell in CELLS}) >= 24
    assert {cell.gamma for cell in CELLS} >= {0.2, 1.0} and set(PLANE) <= set(CELLS)
    assert {cell.kind for cell in CELLS} == {"global", "patch", "smooth"}
    assert {cell.pairing for cell in CELLS} == {"same", "crops"}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"gamma": 0.5}, "gamma = 0.5 has no effect, as the cells fix it"),
        ({"cells": 1}, "cells must be at least 2 and at most 24, found 1"),
        ({"short": 500}, "short must be at least 1 and at most 499, found 500"),
        ({"networks": ("vit",)}, "networks must be of mlp, linear, each once, found ['vit']"),
    ],
)
def test_impossible_options_are_refused(options, line):
    with pytest.raises(ValueError, match=r"must be|no effect") as refused:
        EXPERIMENTS["forecast"](**options)
    assert line in str(refused.value)


def test_the_rank_correlation_is_spearmans_with_ties_and_of_every_row():
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(0).integers(5, size=(2, 3, 20)).astype(float)
    for row, found in enumerate(rank_correlation(a, b)):
        assert found == pytest.approx(spearmanr(a[row], b[row]).statistic)
    assert rank_correlation(np.ones(4), np.arange(4.0)) == 0


def test_the_bootstrap_interval_of_a_mean_is_about_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(size=400)
    mean, low, high = resampled(lambda v: v.mean(-1), values)
    assert mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
