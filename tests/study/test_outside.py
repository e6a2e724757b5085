"""Classes of a user's own, in files outside the repository, are used as this program's are, with no edit of it."""

import copy
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from study import outside
from study.running.checkpoint import Checkpoint
from study.running.training import Training

NETWORK = """
from torch import nn

from blocks import block


class Own(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        super().__init__(*block(width), nn.Flatten(), nn.Linear(4 * width, 5))
"""
BLOCKS = """
from torch import nn


def block(width):
    return nn.Conv2d(3, width, 3), nn.GroupNorm(2, width), nn.ReLU()
"""
CONFIG = {
    "trainer": {
        "accelerator": "cpu",
        "callbacks": [
            {
                "class_path": "study.observers.Probe",
                "init_args": {"every": 4, "train": 16, "validation": 4, "test": 4, "labels": []},
            }
        ],
    },
    "model": {
        "encoder": {
            "class_path": "models.Stack",
            "init_args": {"network": {"class_path": "own.py:Own"}, "shape": [3, 4, 4], "seeds": [0, 1]},
        },
        "objective": {"class_path": "models.StopGradient"},
        "lr": 0.01,
    },
    "data": {
        "class_path": "datamodules.NoisyPixels",
        "init_args": {
            "images": "folder", "root": "images", "size": 4, "directions": 2, "updates": 8, "chunk": 2, "batch": 8, "seeds": [0, 1],
        },
    },
}  # fmt: skip
NETWORK_PLACE = ("model", "encoder", "init_args", "network")


@pytest.fixture
def forget(monkeypatch):
    """Forgets what was imported from files, as another process would know nothing of it; so does the test's end."""
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.setattr(sys, "path", list(path))

    def forget():
        for name in set(sys.modules) - before:
            if name.startswith("file_") or "pytest" in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        sys.path[:] = path
        outside.files.clear()

    yield forget
    forget()


@pytest.fixture
def folder(tmp_path, monkeypatch, forget, images):
    """The working directory, with images, a network, and what its file imports."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(NETWORK)
    Path("blocks.py").write_text(BLOCKS)
    return tmp_path


def changed(place, value):
    """The configuration with one value changed."""
    made = copy.deepcopy(CONFIG)
    part = made
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    return made


@pytest.fixture
def fit(study):
    """`study fit` of a configuration; gives exit code and lines on stderr."""

    def fit(config, *arguments):
        Path("run.yaml").write_text(yaml.safe_dump(config))
        return study("fit", "--config", "run.yaml", *arguments)

    return fit


def runs():
    return sorted(done.parent for done in Path().glob("runs/fit/*/done"))


def test_a_network_from_a_file_trains_is_probed_and_kept(folder, fit, study):
    assert fit(CONFIG) == (0, [])
    (run,) = runs()
    written = yaml.safe_load((run / "config.yaml").read_text())
    name = f"{folder / 'own.py'}:Own"
    assert written["model"]["encoder"]["init_args"]["network"]["class_path"] == name
    table = pd.read_parquet(run / "metrics.parquet")
    assert set(table["network"]) == {0, 1} and table["step"].max() == 8
    assert fit(written) == (0, []) and runs() == [run], "its own configuration is the same run"
    checkpoint = run / "checkpoints" / "last.ckpt"
    code, (line,) = study("probe", checkpoint)
    assert code == 2 and f"give --trust {name}" in line
    assert study("probe", checkpoint, "--trust", "own.py:Own")[0] == 0
    assert "features" in set(pd.read_csv(run / "checkpoints" / "probe.csv")["tap"])


def test_an_interrupted_training_of_a_users_network_goes_on_bit_for_bit(folder, fit, study, monkeypatch):
    assert fit(CONFIG)[0] == 0
    (run,) = runs()
    whole = pd.read_parquet(run / "metrics.parquet")
    shutil.rmtree("runs")
    save = Checkpoint.save

    def die(self, trainer):
        save(self, trainer)
        if self.path.with_name("previous.ckpt").exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", die)
        assert fit(CONFIG)[0] != 0
    assert not (run / "done").exists()
    assert fit(CONFIG) == (0, [])
    assert json.loads((run / "provenance.json").read_text())["origin"].startswith("resumed from update")
    pd.testing.assert_frame_equal(pd.read_parquet(run / "metrics.parquet"), whole)


def test_the_same_files_in_another_place_are_the_same_run_and_edited_ones_are_not(folder, fit, forget):
    """The file that is named, and the one beside it that it imports."""
    assert fit(CONFIG)[0] == 0
    for name, edited in (("copy", ""), ("named", "own.py"), ("beside", "blocks.py")):
        Path(name).mkdir()
        shutil.copy("own.py", name)
        shutil.copy("blocks.py", name)
        if edited:
            with open(Path(name, edited), "a") as file:
                file.write("# edited\n")
    (first,) = runs()
    found = {}
    for name in ("copy", "named", "beside"):
        forget()
        training = Training("fit", "run", changed(NETWORK_PLACE, {"class_path": f"{name}/own.py:Own"}))
        found[name] = training.folder(Path("runs"))
    assert found["copy"] == first
    assert len({first, *found.values()}) == 3
