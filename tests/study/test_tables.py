"""Reading a finished run's table, against pandas."""

import numpy as np
import pandas as pd
import pytest
import torch

from study.experiments.base import curves, final
from study.experiments.linear import read
from study.running.result import COLUMNS, Result
from study.running.run import begun, finish


@pytest.fixture(params=[{}, {"write_statistics": False, "store_schema": False}], ids=["plain", "as runs write it"])
def result(tmp_path, request):
    """Three networks, rows in random order; "curve" at common steps, "gain/i" to each network's own last step."""
    draw = np.random.default_rng(0)
    rows = [(n, 10 * s, s + n / 10, "curve", draw.normal()) for n in range(3) for s in range(5)]
    rows += [(n, s, s / 10, f"gain/{i}", draw.normal()) for n in range(3) for i in range(12) for s in range(4 + n)]
    frame = pd.DataFrame([(tmp_path.name, *rows[i]) for i in draw.permutation(len(rows))], columns=list(COLUMNS))
    frame.to_parquet(tmp_path / "metrics.parquet", index=False, **request.param)
    return Result(tmp_path)


def test_the_table_is_the_one_that_was_written(result):
    pd.testing.assert_frame_equal(result.table, pd.read_parquet(result.path / "metrics.parquet"), check_exact=True)
    assert set(result.metrics) == set(result.table["metric"]) and result.networks == 3
    for metric in result.metrics:
        expected = result.table[result.table["metric"] == metric][["network", "step", "time", "value"]]
        np.testing.assert_array_equal(np.stack(result.rows(metric), 1), expected.to_numpy())


def test_curves_and_final_values(result):
    table = result.table[result.table["metric"] == "curve"]
    steps, times, values = curves(result, "curve")
    np.testing.assert_array_equal(steps, range(0, 50, 10))
    np.testing.assert_array_equal(times, table.pivot(index="step", columns="network", values="time"))
    np.testing.assert_array_equal(values, table.pivot(index="step", columns="network", values="value"))
    np.testing.assert_array_equal(final(result, "curve"), values[-1])


def test_the_last_values_of_every_network_and_feature(result):
    table = result.table[result.table["metric"].str.startswith("gain/")].sort_values("step")
    expected = table.groupby(["network", "metric"])["value"].last().unstack("metric")[[f"gain/{i}" for i in range(12)]]
    np.testing.assert_array_equal(read(result, "gain"), expected)


def test_a_network_that_is_missing_is_named(result):
    table = result.table
    table[(table["metric"] != "gain/3") | (table["network"] != 1)].to_parquet(result.path / "metrics.parquet", index=False)
    with pytest.raises(ValueError, match=r"its table has no 'gain/3' of network 1; delete it"):
        read(result, "gain")


def test_a_table_without_rows_is_refused(result):
    result.table[:0].to_parquet(result.path / "metrics.parquet", index=False)
    with pytest.raises(ValueError, match=r"metrics\.parquet: expected a table with rows, found none; delete"):
        read(result, "gain")


@pytest.mark.parametrize("reader", [final, curves, read])
def test_a_metric_that_is_not_there_is_named(result, reader):
    with pytest.raises(ValueError, match=rf"{result.path}: its table has no metric 'loss.*delete the folder"):
        reader(result, "loss")


def test_a_value_that_is_not_a_number_is_read_as_it_was_written(runs):
    folder = runs / "r"
    frame = pd.DataFrame({"network": [0], "step": [1], "time": [0.5], "metric": ["order"], "value": [np.nan]})
    with begun(folder, {}):
        finish(folder, frame, torch.device("cpu"), "", 0.0, "trained")
    assert np.isnan(Result(folder).rows("order").value).tolist() == [True]
