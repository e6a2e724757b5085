"""Classes of a user's own, in files outside the repository, are used as this program's are, with no edit of it."""

import copy
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

NETWORK = """
from torch import nn

from blocks import block


class Own(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        super().__init__(*block(width), nn.Flatten(), nn.Linear(36 * width, 5))
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
                "init_args": {"every": 4, "train": 100, "validation": 50, "test": 50, "labels": []},
            }
        ],
    },
    "model": {
        "encoder": {
            "class_path": "models.Stack",
            "init_args": {"network": {"class_path": "own.py:Own"}, "shape": [3, 8, 8], "seeds": [0, 1]},
        },
        "objective": {"class_path": "models.StopGradient"},
        "lr": 0.01,
    },
    "data": {
        "class_path": "datamodules.NoisyPixels",
        "init_args": {"size": 8, "count": 300, "directions": 4, "updates": 8, "chunk": 2, "batch": 8, "seeds": [0, 1]},
    },
}
ENCODER = ("model", "encoder", "init_args")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network and what it imports; what is imported from it is forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    Path("own.py").write_text(NETWORK)
    Path("blocks.py").write_text(BLOCKS)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("file_") or str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


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
