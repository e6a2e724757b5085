"""What users of TensorBoard, CSV files, W&B and MLflow find of a run."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning import Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from study import cli
from study.launch.status import Runs
from study.observers import Table
from study.observers.scalars import MOST, Scalars, tag
from study.report import board
from study.report.fits import unfinished
from study.running import hyperparameters
from study.running.overview import LAYOUT
from study.running.training import Training

SMALL = ["--size", "8", "--count", "300", "--directions", "6", "--updates", "20", "--batch", "16", "--seeds", "2"]
RATES = (1e-4, 3e-4)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A small execution of `pixels`."""
    out = tmp_path_factory.mktemp("board") / "runs"
    assert cli.main(["run", "pixels", *SMALL, "--rates", str(list(RATES)), "--out", str(out), "--device", "cpu"]) == 0
    return out


def logged(path):
    """All that TensorBoard reads of a run."""
    return EventAccumulator(str(path), size_guidance={"tensors": 0, "scalars": 0, "images": 0}).Reload()


def curves(path):
    """By tag the steps and values of its curves."""
    read = logged(path)
    return {
        name: ([e.step for e in read.Scalars(name)], [e.value for e in read.Scalars(name)]) for name in read.Tags()["scalars"]
    }


def results(out):
    return sorted(path.parent for path in out.glob("pixels/*/done"))


def test_a_run_of_pixels_has_some_thirty_curves_and_its_table_everything(out):
    assert [path.name.rsplit("-", 1)[0] for path in results(out)] == ["jepa-linear", "jepa-mlp", "mae-linear", "mae-mlp"]
    for path in results(out):
        names = set(curves(path))
        assert 20 <= len(names) <= 40
        assert not any("gain" in name or "network" in name or name.startswith("feature") for name in names)
        table = pd.read_parquet(path / "metrics.parquet")
        gains = table[table["metric"].str.fullmatch(r"linear/gain/\d+")]
        assert gains["metric"].nunique() == 32 and set(gains["network"]) == {0, 1}
    assert len(set().union(*map(curves, results(out)))) <= 40


def test_names_say_encoder_tap_and_split_before_they_are_cut(out):
    names = set().union(*map(curves, results(out)))
    assert {f"probe/{split}/{features}" for split in ("validation", "test") for features in
            ("online.features", "random.features", "pixels", "pca")} <= names  # fmt: skip
    assert max(map(len, names)) <= 33
    assert len({name[:20] for name in names if name.startswith("probe/test") or name.startswith("probe/val")}) >= 6


def test_curves_are_means_over_networks(out):
    for path in results(out):
        table = pd.read_parquet(path / "metrics.parquet")
        expected = table.groupby(["metric", "step"])["value"].mean()
        for metric in ("loss", "linear/distractor", "probe/online/features/noisy/validation"):
            steps, values = curves(path)[tag(metric)]
            assert steps == list(expected[metric].index)
            np.testing.assert_allclose(values, expected[metric], rtol=1e-6)


def test_baselines_are_lines_beside_the_probe(out):
    for path in results(out):
        table, found = pd.read_parquet(path / "metrics.parquet"), curves(path)
        for name in ("random/features", "pixels", "pca"):
            for split in ("validation", "test"):
                steps, values = found[tag(f"probe/{name}/noisy/{split}")]
                assert steps == found[f"probe/{split}/online.features"][0]
                measured = table[table["metric"] == f"probe/{name}/noisy/{split}"]["value"]
                np.testing.assert_allclose(values, measured.mean(), rtol=1e-6)
        assert len(found["probe/validation/pixels"][0]) > 1


def test_baselines_go_on_after_an_interruption():
    names = ["probe/pixels/noisy/validation", "probe/online/features/noisy/validation"]
    before, after = Table(), Table()
    rows = {name: torch.tensor([value, value]) for name, value in zip(names, (0.5, 0.1), strict=True)}

    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    for name, row in rows.items():
        before.record(trainer, 0, torch.zeros(2), {name: row}, curve=name != names[0])
    after.load_state_dict(before.state_dict())
    values = torch.tensor([[0.2, 0.4]], dtype=torch.float64)
    shown = after.scalars.of(names[1:], values, after.first())
    assert shown == pytest.approx({"probe/validation/pixels": 0.5, "probe/validation/online.features": 0.3})


def test_few_numbered_metrics_are_shown_and_many_are_not():
    for count in (MOST, MOST + 1):
        names = [f"linear/gain/{i}" for i in range(count)] + ["loss"]
        shown = Scalars().of(names, torch.ones(count + 1, 3, dtype=torch.float64), {})
        assert set(shown) == (set(names) if count == MOST else {"loss"})


def test_what_is_no_number_of_any_network_is_not_shown():
    values = torch.tensor([[torch.nan, torch.nan], [torch.nan, 4.0]], dtype=torch.float64)
    assert Scalars(per_network=True).of(["a", "b"], values, {}) == {"b": 4.0, "b/network 1": 4.0}


def test_tuning_runs_lie_in_a_folder_of_their_own_and_show_what_a_rate_is_chosen_by(out):
    found = sorted(path.parent for path in out.glob("pixels/tuning/*/done"))
    assert [path.name.rsplit("-", 1)[0] for path in found] == ["jepa-linear", "jepa-mlp", "mae-linear", "mae-mlp"]
    for path in found:
        read = curves(path)
        assert set(read) == {
            f"tuning/{name}/lr {rate:g}" for name in ("loss", "probe/validation/online.features") for rate in RATES
        }
        table = pd.read_parquet(path / "metrics.parquet")
        losses = table[(table["metric"] == "loss") & (table["network"] == 1)].sort_values("step")["value"]
        np.testing.assert_allclose(read[f"tuning/loss/lr {RATES[1]:g}"][1], losses, rtol=1e-6)
        others = set(logged(path).summary_metadata)
        assert not any(name.startswith(("_hparams_", "custom_scalars", "pair")) for name in others)
    record = json.loads(next(out.glob("pixels/*.json")).read_text())
    assert {name: Path(run).parent.name for name, run in record["runs"].items() if "tune" in name} == {
        f"tune-{role}": "tuning" for role in ("jepa-mlp", "jepa-linear", "mae-mlp", "mae-linear")
    }


def test_status_and_page_know_the_runs_of_a_tuning(out):
    runs = [row.run for row in Runs(out, "pixels")]
    assert sum(run.startswith("pixels/tuning/") for run in runs) == 4 and len(runs) == 8
    assert unfinished(out) == 0


def test_hyper_parameters_stand_beside_probe_share_and_rank(out):
    found = {}
    for path in results(out):
        contents = {name: about.plugin_data.content for name, about in logged(path).summary_metadata.items()}
        start = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
        experiment = metadata.parse_experiment_plugin_data(contents[metadata.EXPERIMENT_TAG])
        assert metadata.parse_session_end_info_plugin_data(contents[metadata.SESSION_END_INFO_TAG]).status
        found[path.name.rsplit("-", 1)[0]] = {
            name: value.string_value or value.number_value for name, value in start.hparams.items()
        }
        assert [info.name for info in experiment.hparam_infos] == [*hyperparameters.WORDS, *hyperparameters.NUMBERS]
        metrics = {info.name.tag for info in experiment.metric_infos}
        assert metrics == set(hyperparameters.METRICS) and "hp_metric" not in curves(path)
        assert {"probe/test/online.features", "linear/distractor", "health/validation-256/rank"} <= metrics & set(curves(path))
        lr = yaml.safe_load((path / "config.yaml").read_text())["model"]["lr"]
        assert found[path.name.rsplit("-", 1)[0]]["learning rate"] == lr[0]
    assert {role: (v["objective"], v["encoder"], v["depth"]) for role, v in found.items()} == {
        "jepa-mlp": ("StopGradient", "MLP relu", 2),
        "jepa-linear": ("StopGradient", "MLP linear", 3),
        "mae-mlp": ("Pixels", "MLP relu", 2),
        "mae-linear": ("Pixels", "MLP linear", 3),
    }
    same = {"networks": 2, "amplitude": 14.0, "gamma": 0.4, "directions": 6, "distractor": "global", "data": "Builtin"}
    assert all(same.items() <= values.items() for values in found.values())


def test_every_chart_of_the_layout_has_curves_of_jepa_and_of_mae(out):
    jepa, mae = (next(out.glob(f"pixels/{name}-mlp-*")) for name in ("jepa", "mae"))
    assert "custom_scalars__config__" in logged(jepa).summary_metadata
    for title, (_, patterns) in LAYOUT["JEPA beside MAE"].items():
        for path in (jepa, mae):
            assert any(re.match(pattern, name) for pattern in patterns for name in curves(path)), title
    beside = LAYOUT["JEPA beside MAE"]["probe, test, beside baselines"][1][0]
    assert sum(bool(re.match(beside, name)) for name in curves(jepa)) == 4


def test_command_and_configuration_are_texts(out):
    read = logged(results(out)[0])
    texts = {
        name: read.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode()
        for name in ("command", "configuration")
    }
    assert all(len(line) > 4 and line.startswith("    ") for text in texts.values() for line in text.splitlines())
    assert all(len(line) <= 4 + 100 + 2 for line in texts["command"].splitlines())
    assert "study" in texts["command"]
    assert yaml.safe_load(texts["configuration"])["model"]["objective"]["class_path"] == "models.StopGradient"


def test_a_pair_and_the_figures_are_images(out):
    (shown,) = logged(results(out)[0]).Images("pair of views/x and y of the first update")
    picture = np.asarray(Image.open(BytesIO(shown.encoded_image_string)))
    assert picture.shape == (256, 256 + 32 + 256, 3) and picture.min() == 0
    assert not (picture[:, :256] == picture[:, -256:]).all(), "the views have noise of their own"
    (figures,) = out.glob("pixels/figures-*")
    assert len(logged(figures).Tags()["images"]) == 2


GAUSSIAN = {
    "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Health", "init_args": {"every": 4, "sample": 16}}]},
    "model": {
        "encoder": {"class_path": "models.MLP", "init_args": {"inputs": 4, "hidden": [4], "features": 3, "seeds": [0, 1]}},
        "objective": {"class_path": "models.Pixels"},
        "lr": 0.05,
    },
    "data": {
        "class_path": "datamodules.GaussianPairs",
        "init_args": {"lam": [1.0, 0.8, 0.5, 0.2], "rho": [0.9, 0.4, 0.7, 0.6], "updates": 40, "chunk": 4, "batch": 8},
    },
}  # fmt: skip


def weights(result):
    return torch.load(result.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("how", [{"per_network": True}, {"logger": "csv"}])
def test_how_a_run_is_logged_is_no_part_of_what_it_is(how, runs):
    plain, other = (Training("test", "r", GAUSSIAN | more).execute(runs / str(len(more))) for more in ({}, how))
    assert plain.path.name == other.path.name
    pd.testing.assert_frame_equal(plain.table, other.table, check_exact=True)
    for name, weight in weights(plain).items():
        assert torch.equal(weight, weights(other)[name])
    assert Training("test", "r", GAUSSIAN).execute(runs / "1").kept


def test_single_networks_are_shown_when_they_are_asked_for(tmp_path, monkeypatch, study):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(yaml.safe_dump(GAUSSIAN))
    assert study("fit", "--config", "run.yaml", "--per-network")[0] == 0
    (done,) = Path().glob("runs/fit/*/done")
    found, table = curves(done.parent), pd.read_parquet(done.parent / "metrics.parquet")
    for n in range(2):
        losses = table[(table["metric"] == "loss") & (table["network"] == n)]["value"]
        np.testing.assert_allclose(found[f"loss/network {n}"][1], losses, rtol=1e-6)
    assert study("fit", "--config", str(done.parent / "config.yaml")) == (0, [])
    assert len(list(Path().glob("runs/fit/*/done"))) == 1


def test_csv_files_hold_what_tensorboard_shows(runs):
    result = Training("test", "r", GAUSSIAN | {"logger": "csv"}).execute(runs)
    (path,) = result.path.glob("csv/version_0/metrics.csv")
    table, shown = pd.read_csv(path), curves(result.path)
    assert set(table) - {"step"} == set(shown)
    for name, (steps, values) in shown.items():
        column = table[["step", name]].dropna()
        assert column["step"].tolist() == steps
        np.testing.assert_allclose(column[name], values, rtol=1e-6)
    assert yaml.safe_load(path.with_name("hparams.yaml").read_text())["objective"] == "Pixels"


def test_wandb_gets_the_same_offline_and_one_run_for_each(runs, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("a", "b"):
        result = Training("test", name, GAUSSIAN | {"logger": "wandb"}).execute(runs)
        (stored,) = result.path.glob(f"wandb/offline-run-*-{result.path.name}/*.wandb")
        assert stored.stat().st_size > 0


def test_mlflow_gets_the_same_offline(runs, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = Training("test", "r", GAUSSIAN | {"logger": "mlflow"}).execute(runs)
    client = mlflow.MlflowClient(f"file:{runs}/mlruns")
    (run,) = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    assert run.info.run_name == result.path.name and run.info.status == "FINISHED"
    assert run.data.params["objective"] == "Pixels"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in history] == curves(result.path)["loss"][0]


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
@pytest.mark.parametrize("command", [["run", "pixels"], ["fit", "--config", "run.yaml"]])
def test_a_logger_that_is_not_installed_is_refused_in_one_line(kind, command, tmp_path, monkeypatch, study):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(yaml.safe_dump(GAUSSIAN))
    Path(kind).mkdir()  # a folder of that name is no package
    monkeypatch.syspath_prepend(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == kind else find(name, *rest))
    assert study(*command, "--logger", kind) == (
        2, [f"study: error: --logger {kind} needs the package {kind}; install it by: pip install {kind}"],
    )  # fmt: skip
    assert not list(tmp_path.rglob("config.yaml"))


def ask(address, path):
    with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:
        return json.loads(answer.read())


def test_board_shows_the_runs_until_it_is_interrupted(out):
    command = [sys.executable, "-m", "study.cli", "board", "--out", str(out), "--open"]
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
            expected = {str(path.parent.relative_to(out)) for path in out.rglob("events.out.tfevents.*")}
            end = time.monotonic() + 120
            while set(found := ask(address, "data/runs")) != expected:
                assert time.monotonic() < end, found
                time.sleep(0.2)
            (category,) = ask(address, "data/plugin/custom_scalars/layout")["category"]
            assert [chart["title"] for chart in category["chart"]] == list(LAYOUT["JEPA beside MAE"])
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
        (said,) = [line for line in process.stderr.read().splitlines() if line.startswith("study: ")]
        assert said == f"study: no display here to open {address} on"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--out", "nowhere"], "nowhere: no such folder; give --out the folder of results"), (["--port", "much"], "port")],
)
def test_board_refuses_in_one_line(arguments, message, study):
    code, (line,) = study("board", *arguments)
    assert code == 2 and message in line


def test_board_says_that_many_runs_are_not_ticked(tmp_path, monkeypatch, study):
    for name in map(str, range(41)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.out.tfevents.0").touch()
    monkeypatch.setattr(board, "serve", lambda out, port: "http://127.0.0.1:1/")
    monkeypatch.setattr(signal, "pause", lambda: None)
    code, said = study("board", "--out", str(tmp_path))
    assert code == 0 and said[-1].startswith(
        f"study: of 41 runs TensorBoard shows none until some are ticked; --out {tmp_path}/NAME"
    )


def test_board_says_that_a_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "study.cli", "board", "--out", tmp_path, "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True)
    line = done.stderr.splitlines()[-1]  # after a note of TensorBoard's own
    assert done.returncode == 2 and line.startswith("study: error: TensorBoard cannot start: ") and "--port" in line
    assert "Traceback" not in done.stderr
