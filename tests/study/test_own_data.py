"""A source, a noise and a pairing of the user's own, by their import paths, in `study fit` and in `study run pixels`."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from study.experiments.pixels import Pixels

OWN = '''
import torch
from datamodules import Moments, Pair, View
from datamodules.noise import Noise
from datamodules.pairings import Pairing
from datamodules.sources import Source, Split


class Waves(Source):
    """Sines of random phase; the class is the frequency."""

    shape = [1, 20]

    def __init__(self, root: str = "nothing"):
        self.root = root

    def load(self):
        made = {}
        for name, count in (("train", 200), ("test", 100)):
            labels = torch.arange(count) % 2
            phase = torch.rand(count, 1, generator=torch.Generator().manual_seed(count))
            waves = torch.sin(torch.arange(20) * (labels[:, None] + 1) / 3 + 6.28 * phase)
            made[name] = Split(waves[:, None], labels, ("slow", "fast"))
        return made


class Offset(Noise):
    """One number, the same in all places and in both views."""

    def draw(self, update, rows, first):
        return torch.stack([torch.sin(torch.arange(first, first + rows) * 1.7 + update + s)[:, None] for s in self.seeds])

    def views(self, x, y, update, first=0):
        c = self.draw(update, x.shape[1], first)
        return x + c, y + c

    def moments(self, clean):
        white = 0.5 * torch.ones_like(clean.Sxx)
        return [Moments(clean.Sxx + white, clean.Syx + white, clean.Syy + white)] * len(self.seeds)

    def coordinates(self, update, rows, first=0):
        return {"distractor": self.draw(update, rows, first)}


class Reversed(Pairing):
    """y is x backwards."""

    def pair(self, x, y, seeds, update, first=0):
        return Pair(View(x), View(y.flip(-1)))
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "mine_of_data.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(**parts):
    named = {part: {"class_path": f"mine_of_data.{name}"} for part, name in parts.items()}
    observers = [
        ("Probe", {"train": 100, "validation": 30, "test": 50}), ("Distractor", {"train": 100, "test": 30}), ("Health", {"sample": 20}),
    ]  # fmt: skip
    return {
        "trainer": {
            "accelerator": "cpu",
            "callbacks": [{"class_path": f"study.observers.{n}", "init_args": {"every": 4, **o}} for n, o in observers],
        },
        "model": {
            "encoder": {
                "class_path": "models.MLP",
                "init_args": {"inputs": 20, "hidden": [8], "features": 4, "activation": "relu"},
            },
            "objective": {"class_path": "models.StopGradient"},
        },
        "data": {"class_path": "datamodules.SourcePairs", "init_args": {**named, "updates": 4, "chunk": 2, "batch": 8}},
    }


def test_source_noise_and_pairing_train_and_are_observed_and_belong_to_the_identity(own, study):
    (own / "run.yaml").write_text(yaml.safe_dump(config(source="Waves", noise="Offset", pairing="Reversed")))
    assert study("fit", "--config", "run.yaml") == (0, [])
    (first,) = own.glob("runs/fit/*")
    metrics = set(pd.read_parquet(first / "metrics.parquet")["metric"])
    assert {"probe/online/features/noisy/test", "distractor/share", "distractor/decoded"} <= metrics
    (own / "mine_of_data.py").write_text(OWN + "\n# changed\n")
    assert study("fit", "--config", "run.yaml") == (0, [])
    assert len(list(own.glob("runs/fit/*"))) == 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"source": "Offset"}, "source"),
        ({"source": "Waves", "noise": "Waves"}, "noise"),
        ({"source": "Waves", "pairing": "Nothing"}, "Nothing: expected a class there"),
    ],
)
def test_a_class_of_the_wrong_base_or_none_is_one_line(parts, message, own, study):
    (own / "run.yaml").write_text(yaml.safe_dump(config(**parts)))
    code, lines = study("fit", "--config", "run.yaml")
    assert code == 2 and len(lines) == 1 and message in lines[0] and not (own / "runs").exists()


def test_the_experiment_takes_an_own_source_with_the_options_that_it_has(own):
    made = Pixels(images="mine_of_data.Waves", root=own, directions=4)
    assert made.source == {"class_path": "mine_of_data.Waves", "init_args": {"root": str(own)}}
    assert made.made.root == str(own)
    with pytest.raises(ValueError, match=r"size = 8 has no meaning for images mine_of_data.Waves; leave it out"):
        next(Pixels(images="mine_of_data.Waves", size=8).plan())


def test_windows_without_labels_run_the_experiment_without_probes(tmp_path, study):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 6, 2)).cumsum(1).astype(np.float32))
    options = ["--updates", "2", "--batch", "8", "--seeds", "2", "--rates", "[0.0001]", "--device", "cpu"]
    arguments = ["run", "pixels", "--images", "arrays", "--root", tmp_path / "x.npy", *options, "--out", tmp_path / "runs"]
    code, (line,) = study(*arguments)
    assert code == 2 and "directions must be from 1 to 12 (the inputs), found 128" in line
    code, lines = study(*arguments, "--directions", "3")
    assert code == 0 and any("x.npy: no labels of two classes or more: no probe is made" in line for line in lines)
    claims = json.loads((tmp_path / "runs" / "claims.json").read_text())
    assert {claim["id"] for claim in claims} == {"pixels/arrays/share-jepa", "pixels/arrays/share-mae"}


def test_of_fewer_pictures_than_numbers_pixels_names_the_size_that_it_can_do(study, tmp_path):
    """Else it would train for minutes, and then find no linear map to make claims of."""
    for i in range(200):
        path = tmp_path / "root" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    command = [
        "run",
        "pixels",
        "--images",
        "folder",
        "--root",
        tmp_path / "root",
        "--out",
        tmp_path / "runs",
        "--directions",
        "20",
    ]
    code, lines = study(*command)
    assert code == 2 and "128 training samples" in lines[-1] and "found 768; give --size 6 or less" in lines[-1]
    assert not (tmp_path / "runs" / "pixels").exists()
    assert study(*command, "--size", "6", "--updates", "20", "--seeds", "2", "--rates", "1e-4")[0] == 0
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 90)).astype(np.float32))
    code, lines = study("run", "pixels", "--images", "arrays", "--root", tmp_path / "x.npy", "--directions", "4")
    assert code == 2 and "give samples of fewer numbers, or more samples" in lines[-1]
