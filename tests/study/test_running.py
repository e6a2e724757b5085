"""Runs: identity, divergence, records, claims and the command line, end to end on small sizes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from study import cli
from study.observers.loss import Diverged
from study.running.run import identity
from study.running.training import Training

SMALL = ["--size", "8", "--count", "300", "--directions", "6", "--updates", "20", "--batch", "16", "--seeds", "2"]


def config(target="StopGradient", encoder=None, **changes):
    made = {
        "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Alignment", "init_args": {"every": 4, "k": 2}}]},
        "model": {
            "encoder": {
                "class_path": "models.MLP",
                "init_args": {"inputs": 4, "hidden": [4], "features": 3, "seeds": [0, 1], "dtype": "float64", **(encoder or {})},
            },
            "objective": {"class_path": f"models.{target}"},
            "lr": 0.05,
        },
        "data": {
            "class_path": "datamodules.GaussianPairs",
            "init_args": {"lam": [1.0, 0.8, 0.5, 0.2], "rho": [0.9, 0.4, 0.7, 0.6], "updates": 40, "chunk": 4, "batch": 8},
        },
    }  # fmt: skip
    for path, value in changes.items():
        section, key = path.split("_", 1)
        place = made[section]["init_args"] if section == "data" else made[section]
        place[key] = value
    return made


def test_a_finished_run_has_its_files_and_is_not_done_again(runs):
    first = Training("test", "one", config()).execute(runs)
    names = {p.name.split(".tfevents")[0] for p in first.path.iterdir()}
    assert {"config.yaml", "provenance.json", "metrics.parquet", "checkpoints", "done", "events.out"} <= names
    table = pd.read_parquet(first.path / "metrics.parquet")
    assert list(table.columns) == ["run", "network", "step", "time", "metric", "value"]
    assert not table.duplicated(["network", "step", "metric"]).any()
    changed = (first.path / "metrics.parquet").stat().st_mtime_ns
    again = Training("test", "one", config()).execute(runs)
    assert again.path == first.path
    assert (first.path / "metrics.parquet").stat().st_mtime_ns == changed
    pd.testing.assert_frame_equal(again.table, first.table, check_dtype=False)
    provenance = json.loads((first.path / "provenance.json").read_text())
    assert {"commit", "command", "hardware", "versions", "seconds", "device"} <= set(provenance)


def test_identity_holds_the_seed_and_the_defaults(runs):
    paths = {Training("test", "x", config(**c)).execute(runs).path for c in ({}, {"data_seed": 1}, {"data_chunk": 5})}
    assert len(paths) == 3
    stored = yaml.safe_load((next(iter(paths)) / "config.yaml").read_text())
    assert stored["model"]["momentum"] == 0.0  # a default that was not given
    assert Training("test", "x", stored).execute(runs).path in paths  # a run's configuration is that run


def test_divergence_keeps_the_last_good_checkpoint(runs):
    run = Training("test", "d", config("Pixels", encoder={"eps": 1.0}, model_lr=[0.05, 3.0], data_updates=400, data_chunk=2))
    with pytest.raises(Diverged, match=r"network 1 .* update \d+"):
        run.execute(runs)
    (folder,) = (runs / "test").iterdir()
    reason = json.loads((folder / "failed.json").read_text())
    assert reason["network"] == 1
    assert not (folder / "done").exists()
    for checkpoint in folder.rglob("*.ckpt"):
        for value in torch.load(checkpoint, weights_only=True)["state_dict"].values():
            assert value.isfinite().all()


def study(*arguments, code=0, capsys=None):
    """Run a command in this process; returns (stdout, stderr) and checks the exit code."""
    try:
        found = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        found = stop.code
    out, err = capsys.readouterr()
    assert found == code, (found, out, err)
    return out, err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small execution of `pixels`, whose claims need not hold."""
    out = tmp_path_factory.mktemp("finished") / "runs"
    assert cli.main(["run", "pixels", *SMALL, "--rates", "[0.0001, 5.0]", "--out", str(out), "--device", "cpu"]) == 0
    return out


def test_an_experiment_leaves_runs_claims_and_page(finished, capsys):
    claims = json.loads((finished / "claims.json").read_text())
    assert {c["id"] for c in claims} >= {"pixels/builtin/share-jepa", "pixels/builtin/probe-jepa-over-mae"}
    region, interval = {"at_least", "at_most"}, {"measured", "low", "high", "n"}
    assert set(claims[0]) == {"id", "experiment", "statement", "source", "predicted", "outside", "verdict", *region, *interval}
    assert {c["verdict"] for c in claims} == {"measurement"}, "these are not the conditions of the claims"
    for page, links in (
        (finished / "report" / "index.html", {"experiments/pixels.html"}),
        (finished / "report" / "experiments" / "pixels.html", {"../index.html"}),
    ):
        text = page.read_text()
        found = re.findall(r"(?:src|href)=[\"']([^#\"'][^\"']*)", text.replace("xlink:href", "link"))
        assert {link.partition("#")[0] for link in found} == links, "a page must be self-contained"
        assert text.count("<svg") == 2
    assert list(finished.glob("pixels/figures-*/events.out.tfevents.*")), "the figures belong into TensorBoard too"
    failed = list(finished.rglob("failed.json"))
    assert failed, "the rate of 5 must have diverged and dropped out of the tuning"
    study("report", "--out", finished, capsys=capsys)


def test_claims_come_from_the_tables(finished, tmp_path, capsys):
    """A measurement changed by hand is found, in the claims and in the table."""
    import shutil

    copy = shutil.copytree(finished, tmp_path / "runs")
    claims = json.loads((copy / "claims.json").read_text())
    out, _ = study("claims", "--json", "--out", copy, capsys=capsys)
    assert json.loads(out) == claims
    claims[0]["measured"] += 1
    (copy / "claims.json").write_text(json.dumps(claims))
    _, err = study("claims", "--out", copy, code=1, capsys=capsys)
    assert "share-jepa: measured is" in err
    table = next(copy.glob("pixels/jepa-mlp-*/metrics.parquet"))
    frame = pd.read_parquet(table)
    frame.loc[frame["metric"] == "linear/distractor", "value"] = 0.9
    frame.to_parquet(table)
    _, err = study("claims", "--out", copy, code=2, capsys=capsys)
    assert f"{table}: damaged, its checksum is not the one in" in err


def test_probe_reads_a_checkpoint_alone(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    checkpoint = next(finished.glob("pixels/jepa-mlp-*/checkpoints/last.ckpt"))
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    out, _ = study("probe", checkpoint, "--out", tmp_path / "probe", "--device", "cpu", capsys=capsys)
    assert "hidden1" in out and "random" in out and "raw" in out
    assert "sd over draws" in out and "…" not in out, "a column does not fit"
    table = pd.read_csv(tmp_path / "probe" / "probe.csv")
    assert set(table["encoder"]) == {"pixels", "online", "random"}
    assert (tmp_path / "probe" / "probe.png").exists()
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    recorded = pd.read_parquet(checkpoint.parents[1] / "metrics.parquet").query("metric == 'probe/online/features/noisy/test'")
    whole = table.query("labels == 240")  # 300 images less their validation fifth
    mine = whole.query("encoder == 'online' and tap == 'features'")["test"]
    assert mine.tolist() == pytest.approx(recorded["value"].tolist())  # the same sample, the same probe
    few = table.query("labels != 240")
    assert set(few["labels"]) == {100}, "300 and more are more than there are"
    assert set(zip(few["encoder"], few["tap"], strict=True)) == {
        ("pixels", "raw"),
        ("online", "features"),
        ("random", "features"),
    }
    assert few["deviation"].notna().all() and whole["deviation"].isna().all() and few["strength"].isna().all()
    for _, group in table.groupby(["encoder", "tap", "labels"]):
        mean, (low, high) = group["test"].mean(), stats.t.interval(0.95, 1, group["test"].mean(), stats.sem(group["test"]))
        assert group[["n", "mean", "low", "high"]].to_numpy() == pytest.approx(
            np.tile([2, mean, low, high], (2, 1)), nan_ok=True
        )


def test_fit_takes_a_runs_configuration(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(yaml.safe_dump(config()))
    out, _ = study("fit", "--config", "run.yaml", capsys=capsys)
    assert (tmp_path / out.split()[-1] / "done").exists()
    out, _ = study("fit", "--config", "run.yaml", "--print_config", capsys=capsys)
    assert yaml.safe_load(out)["model"]["lr"] == 0.05


def test_list_names_every_experiment(capsys):
    out, _ = study("list", capsys=capsys)
    assert "dynamics" in out and "pixels" in out and "JEPA" in out


BAD = {
    "unknown command": (["paint"], "choose one of: list, run"),
    "unknown experiment": (["run", "paint"], "choose one of: dynamics, critical_times"),
    "unknown option": (["run", "pixels", "--gama", "1"], "--gamma"),
    "wrong type": (["run", "pixels", "--gamma", "much"], "gamma"),
    "gamma outside": (["run", "pixels", "--gamma", "1.5"], "gamma must lie in [0, 1], found 1.5"),
    "too many directions": (
        ["run", "pixels", "--directions", "1000"],
        "directions must be from 1 to 768 (the inputs), found 1000",
    ),
    "no folder": (["run", "pixels", "--images", "folder", "--root", "nowhere"], "nowhere: no such folder"),
    "unknown images": (["run", "pixels", "--images", "imagenet"], "imagenet"),
    "seeds": (["run", "dynamics", "--seeds", "0"], "seeds must be at least 1"),
    "depth": (["run", "dynamics", "--depths", "[0]"], "depths must be among 1, 2, 3, 4"),
    "eps": (["run", "dynamics", "--eps", "0"], "eps must lie in"),
    "no results": (["claims", "--out", "nowhere"], "nowhere: no finished experiment"),
    "no report": (["report", "--out", "nowhere"], "nowhere: no finished experiment"),
    "no checkpoint": (["probe", "nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
    "damaged checkpoint": (["probe", "damaged.ckpt"], "damaged.ckpt: not a readable checkpoint"),
    "unknown key": (["fit", "--config", "typo.yaml"], "momentun"),
    "long warm-up": (["fit", "--config", "warmup.yaml"], "warmup must be at least 0 and below the run's 40 updates, found 40"),
    "impossible size": (["fit", "--config", "size.yaml"], "features must be at most the 4 inputs"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, monkeypatch, capsys):
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    Path("damaged.ckpt").write_bytes(b"not a checkpoint")
    Path("typo.yaml").write_text(yaml.safe_dump(config(model_momentun=0.5)))
    Path("warmup.yaml").write_text(yaml.safe_dump(config(model_warmup=40)))
    Path("size.yaml").write_text(yaml.safe_dump(config(encoder={"features": 9})))
    _, err = study(*arguments, code=2, capsys=capsys)
    assert message in err
    assert err.startswith("study: error: ")
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("runs/*/*/config.yaml")), "nothing may be written"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_cuda_without_a_gpu_is_refused(capsys):
    _, err = study("run", "dynamics", "--device", "cuda", code=2, capsys=capsys)
    assert "no CUDA device" in err


def test_the_command_is_installed():
    command = Path(sys.executable).with_name("study")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0
    assert "reproduce" in done.stdout


def test_dynamics_follow_theory(runs, capsys):
    """The whole experiment at one depth and seed: all is as predicted, but of one seed nothing is concluded."""
    out, _ = study("run", "dynamics", "--depths", "[1]", "--seeds", "1", "--out", runs, "--device", "cpu", capsys=capsys)
    assert "2 of 8 claims hold, 0 refuted, 6 inconclusive" in out
    for claim in json.loads((runs / "claims.json").read_text()):
        least, most = (claim[side] if claim[side] is not None else claim["measured"] for side in ("at_least", "at_most"))
        assert least <= claim["low"] <= claim["high"] <= most
    study("claims", "--out", runs, capsys=capsys)


def test_identity_is_stable():
    assert identity({"b": 1, "a": [1, 2]}) == identity({"a": [1, 2], "b": 1})
    assert identity({"a": 1}) != identity({"a": 2})
