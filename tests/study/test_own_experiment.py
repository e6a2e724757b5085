"""An experiment of a user's own, and observers of their own in this program's, from files outside the repository."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from study import outside
from study.launch import store
from study.launch.order import carry_out, order
from study.launch.pool import environment

EXPERIMENT = '''
"""Two rates.

Claim: The loss falls further at the higher rate.
Command: study run rates.py:Rates
"""

from dataclasses import dataclass

from study.experiments.base import Experiment, final
from study.experiments.verdict import above
from study.running.training import Training


@dataclass
class Rates(Experiment):
    """Two rates.

    Args:
        updates: length of each run.
    """

    name = "rates"
    expected = "2 runs, a second"
    free = ("updates",)
    updates: int = 8

    def plan(self):
        yield {f"lr-{lr}": self.run(lr) for lr in (0.01, 0.1)}

    def run(self, lr):
        encoder = {"class_path": "models.MLP", "init_args": {"inputs": 2, "hidden": [2], "features": 2, "seeds": [0, 1]}}
        data = {"lam": [1.0, 0.5], "rho": [0.4, 0.9], "updates": self.updates, "chunk": 4, "batch": 8}
        config = {
            "trainer": {"accelerator": self.device, "callbacks": [{"class_path": f"{__file__}:Weight", "init_args": {"every": 4}}]},
            "model": {"encoder": encoder, "objective": {"class_path": "models.StopGradient"}, "lr": lr},
            "data": {"class_path": "datamodules.GaussianPairs", "init_args": data},
        }
        return Training(self.name, f"lr-{lr}", config)

    def claims(self, results):
        low, high = (final(results[f"lr-{lr}"], "loss") for lr in (0.01, 0.1))
        return [self.claim("falls", "the loss falls further", "here", "> 0", above(0), low - high)]

    def figures(self, results):
        return {}
'''
OBSERVER = """
from study.observers.observer import Observer


class Weight(Observer):
    def measure(self, learner, data, last):
        return {"weight": learner.predictor.weight.square().sum((1, 2))}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, forget):
    """The working directory, with an experiment and an observer in one file."""
    monkeypatch.chdir(tmp_path)
    Path("rates.py").write_text(EXPERIMENT + OBSERVER)
    return tmp_path


def test_an_experiment_from_a_file_is_done_shown_kept_and_claimed(folder, study, capsys):
    name = f"{folder / 'rates.py'}:Rates"
    assert study("run", "rates.py:Rates", "--updates", "4") == (0, [])
    (record,) = store.records(Path("runs"))
    assert record.outside == name and record.options["updates"] == 4
    assert {"weight", "loss"} <= set(pd.read_parquet(record.runs["lr-0.1"] / "metrics.parquet")["metric"])
    assert "The loss falls further at the higher rate." in Path("runs/report/index.html").read_text()
    (claim,) = json.loads(Path("runs/claims.json").read_text())
    assert claim["id"] == "rates/falls" and claim["n"] == 2
    before = {done: done.stat().st_mtime_ns for done in Path().glob("runs/rates/*/done")}
    assert study("run", "rates.py:Rates", "--updates", "4") == (0, []), "kept"
    assert {done: done.stat().st_mtime_ns for done in Path().glob("runs/rates/*/done")} == before and len(before) == 2
    assert study("claims")[0] == (claim["verdict"] == "refuted") and study("report") == (0, [])


def test_what_was_computed_of_an_edited_experiment_is_computed_again(folder, study):
    assert study("run", "rates.py:Rates", "--updates", "4")[0] == 0
    (record,) = store.records(Path("runs"))
    before = record.key
    Path("rates.py").write_text((EXPERIMENT + OBSERVER).replace("the loss falls further", "edited"))
    (record,) = store.records(Path("runs"))
    assert record.key != before


def test_results_of_an_experiment_that_is_gone_or_anothers_are_left_out_in_one_line(folder, study, forget, execution):
    execution(Path("runs"), 0)
    assert study("run", "rates.py:Rates", "--updates", "4")[0] == 0
    path = store.records(Path("runs"))[-1].path
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    for signature, says in (("0" * 64, "not known to be yours"), (content["signature"], "rates.py: no such file")):
        forget()
        changed = content | {"signature": signature}
        path.write_text(json.dumps({**changed, "sha256": store._signed(changed)}))
        code, (line,) = study("report")
        assert code == 0 and f"{path}: left out" in line and says in line
        assert not outside.files, "nothing of a stranger's is imported"
        assert "The loss falls further" not in Path("runs/report/index.html").read_text()
        Path("rates.py").unlink(missing_ok=True)


def test_another_process_does_the_runs_of_an_experiment_from_a_file(folder, forget):
    """Also those of a kind of run of its own, which is named by its file."""
    with open("rates.py", "a") as file:
        file.write("\n\nclass Mine(Training):\n    pass\n")
    experiment = outside.resolve("rates.py:Rates")(updates=4)
    run = outside.resolve("rates.py:Mine")("rates", "mine", experiment.run(0.01).config)
    place = run.folder(Path("runs"))
    told = json.dumps(order(run, Path("runs"), place, "test", False))
    assert json.loads(told)["kind"] == f"{folder / 'rates.py'}:Mine"
    forget()
    assert carry_out(json.loads(told)) is None and (place / "done").exists()


def test_another_process_finds_the_modules_that_its_parent_finds_and_not_those_of_its_folder(folder):
    Path("models").mkdir()
    Path("models", "__init__.py").touch()
    sys.path.append("/nowhere/appended")
    ask = "import importlib.util, sys; print(importlib.util.find_spec('models').origin, *sys.path)"
    command, variables = [sys.executable, "-c", ask], os.environ | {"PYTHONPATH": ""}
    here, there = (
        subprocess.run(command, capture_output=True, text=True, env=variables | more, check=True).stdout.split()
        for more in ({}, environment())
    )
    assert here[0] == str(folder / "models" / "__init__.py")
    assert there[0] == importlib.util.find_spec("models").origin and "/nowhere/appended" in there


BAD = {
    "no file": ("none.py:Rates", None, "none.py: no such file"),
    "no name": ("nothing", None, "expected an experiment, found 'nothing'"),
    "wrong base": ("rates.py:Weight", None, "rates.py:Weight: expected a dataclass with the base"),
    "abstract": ("rates.py:Rates", ("def claims", "def claim_s"), "found one without claims"),
    "our name": ("rates.py:Rates", ('name = "rates"', 'name = "pixels"'), "none of ours, found 'pixels'"),
    "no claim": ("rates.py:Rates", ("Claim: ", "Idea: "), "expected lines `Claim: ...`"),
    "no default": ("rates.py:Rates", ("updates: int = 8", "updates: int"), "default"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_experiment_that_cannot_be_done_is_refused_in_one_line(case, folder, study):
    name, change, says = BAD[case]
    if change:
        Path("rates.py").write_text((EXPERIMENT + OBSERVER).replace(*change))
    code, lines = study("run", name)
    assert code == 2 and len(lines) == 1 and says in lines[0], lines
    assert not Path("runs").exists()


def test_further_observers_are_part_of_an_experiments_runs(folder, study, monkeypatch):
    monkeypatch.setattr("study.experiments.dynamics.MEASUREMENTS", 4)
    assert study("run", "dynamics", "--depths", "[1]", "--seeds", "1", "--observers", "rates.py:Weight")[0] in (0, 1)
    (record,) = store.records(Path("runs"))
    assert record.options["observers"] == [f"{folder / 'rates.py'}:Weight"]
    for run in record.runs.values():
        table = pd.read_parquet(run / "metrics.parquet")
        assert {"weight", "linear/gain/0"} <= set(table["metric"])
        assert any("rates.py:Weight" in name for name in json.loads((run / "provenance.json").read_text())["inputs"])
    assert record.experiment().outside() == ""
