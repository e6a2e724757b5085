"""The experiment on four kinds of networks: what it asks for can be trained, and its claims, table and figures are made of it."""

import json

import numpy as np
import pytest

from study import cli
from study.experiments import EXPERIMENTS
from study.experiments.networks import Cell, Networks, objective

SMALL = [
    "--size", "8", "--count", "600", "--directions", "8", "--updates", "6", "--trial", "4", "--batch", "16", "--seeds", "2",
    "--networks", "[convolution]", "--methods", "[vicreg,ema,mae]", "--decays", "[0.5]", "--rates", "[0.001,0.002]",
]  # fmt: skip
METHODS = ("vicreg", "sigreg", "ema", "stop-gradient", "mae")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    out = tmp_path_factory.mktemp("networks") / "runs"
    assert cli.main(["run", "networks", *SMALL, "--out", str(out), "--device", "cpu"]) == 0
    return out


def test_networks_are_trained_probed_and_reported(executed):
    claims = json.loads((executed / "claims.json").read_text())
    names = ("share-vicreg", "vicreg-over-random", "vicreg-over-raw", "vicreg-over-raw-few", "share-mae", "vicreg-over-mae")
    assert {c["id"] for c in claims} == {f"networks/builtin/{name}" for name in (*names, "share-teacher-0.5")}
    assert {c["verdict"] for c in claims} == {"measurement"}, "these are not the conditions of the claims"
    assert all(np.isfinite([c["measured"], c["low"], c["high"]]).all() for c in claims)
    page = (executed / "report" / "experiments" / "networks.html").read_text()
    assert page.count("<svg") == 2
    assert "teacher&#39;s turnovers" in page and "tuning: lr" in page


def test_rates_are_chosen_without_a_look_at_the_test_split(executed):
    import pandas as pd

    tuning = pd.concat(pd.read_parquet(path) for path in executed.glob("networks/tuning/*/metrics.parquet"))
    assert set(tuning["metric"]) >= {"probe/online/features/noisy/validation"}
    assert not tuning["metric"].str.contains("online.*test").any()


def test_all_objectives_see_the_same_pairs_and_have_the_same_predictor():
    experiment = Networks(networks=("convolution",), methods=METHODS)
    configs = [experiment.run(cell, [], 10, "name", [1e-3], [0], [0]).config for cell in experiment.cells()]
    for same in ("data", "trainer"):
        assert all(config[same] == configs[0][same] for config in configs)
    for same in ("encoder", "predictor", "optimizer", "schedule", "warmup"):
        assert all(config["model"][same] == configs[0]["model"][same] for config in configs)


@pytest.mark.parametrize("network", ["linear", "mlp", "convolution", "vit"])
def test_every_cell_is_a_configuration_that_fit_takes(network):
    experiment = EXPERIMENTS["networks"](networks=(network,), methods=METHODS, noises=("clean", "patch", "global"))
    cells = list(experiment.cells())
    assert len({cell.role for cell in cells}) == len(cells) == 15
    for cell in cells[::4]:
        run = experiment.run(cell, [], 10, cell.role, [1e-3], [0], [0])
        assert run.resolved()["model"]["encoder"]["class_path"] in ("models.MLP", "models.Stack")
        run.cli().build()


def test_a_teachers_targets_are_those_of_i_jepa_or_plain():
    cell = Cell("patch", "convolution", "ema", 0.9)
    plain = {"class_path": "models.EMA", "init_args": {"decay": 0.9}}
    practice = {"distance": "smooth_l1", "normalized": True}
    assert objective(cell, False) == plain
    assert objective(cell) == plain | {"init_args": plain["init_args"] | practice}
    (made,) = next(Networks(size=8, networks=("mlp",), methods=("ema",), normed=False).plan()).values()
    assert made.config["model"]["objective"]["init_args"] == {"decay": 0.99}


def test_turnovers_are_the_sum_of_what_each_update_replaces():
    experiment = Networks(methods=("ema", "stop-gradient"), decays=(0.99,), updates=977, networks=("convolution",))
    assert [experiment.turnovers(cell) for cell in experiment.cells()] == pytest.approx([9.77, 977])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"crop": 0.0}, "crop must lie in (0, 1], found 0.0"),
        ({"decays": (1.0,)}, "decays must lie in [0, 1), found [1.0]"),
        ({"networks": ("mlp", "mlp")}, "networks must hold at least one, each once, found ['mlp', 'mlp']"),
        ({"short": 0}, "short must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options, line):
    with pytest.raises(ValueError, match="found") as refused:
        Networks(**options)
    assert line in str(refused.value)


def test_a_network_that_cannot_take_the_samples_is_refused_with_the_option_that_helps(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 20)).astype("float32"))
    options = ["--images", "arrays", "--root", str(tmp_path / "x.npy"), "--noises", "[global]", "--directions", "4"]
    assert cli.main(["run", "networks", *options, "--out", str(tmp_path / "runs"), "--device", "cpu"]) == 2
    assert "--networks [linear,mlp]" in capsys.readouterr().err
    assert not list(tmp_path.rglob("config.yaml"))
