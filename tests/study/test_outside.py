"""Classes of a user's own, in files outside the repository, are used as this program's are, with no edit of it."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from study import naming, outside
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
        "class_path": "datamodules.SourcePairs",
        "init_args": {
            "source": {"class_path": "datamodules.sources.Folder", "init_args": {"root": "images", "size": 4}},
            "noise": {"class_path": "datamodules.noise.White", "init_args": {"sigma": 0.1}},
            "updates": 8, "chunk": 2, "batch": 8, "seeds": [0, 1],
        },
    },
}  # fmt: skip
NETWORK_PLACE = ("model", "encoder", "init_args", "network")


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


FUNCTIONS = """
from torch import nn


def group(channels: int) -> nn.Module:
    return nn.GroupNorm(4, channels)


def make(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(4 * width, 5))


def vague(width: int):
    return make(width)


class Batch(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
"""
SMALL = {"norm_layer": "functions.py:group", "num_classes": 7, "width_mult": 0.25, "dropout": 0.0}
TIMM = {"norm_layer": "groupnorm1", "num_classes": 7}


@pytest.mark.parametrize(
    "network",
    [
        {"class_path": "functions.py:make", "init_args": {"width": 4}},
        {"class_path": "torchvision.models.mobilenet_v2", "init_args": SMALL},
        {"class_path": "timm.create_model", "init_args": {"model_name": "test_resnet"}, "dict_kwargs": TIMM},
    ],
    ids=["own", "torchvision", "timm"],
)
def test_a_function_with_arguments_makes_a_network_for_each_seed(network, folder, fit):
    Path("functions.py").write_text(FUNCTIONS)
    assert fit(changed(NETWORK_PLACE, network)) == (0, [])
    (run,) = runs()
    written = yaml.safe_load((run / "config.yaml").read_text())["model"]["encoder"]["init_args"]["network"]
    assert written["class_path"] == network["class_path"].replace("functions.py", f"{folder / 'functions.py'}")
    known = json.loads((run / "provenance.json").read_text())["inputs"]
    assert any("functions.py:" in name for name in known) == ("functions.py" in str(network)), "of callables in arguments too"
    table = pd.read_parquet(run / "metrics.parquet")
    losses = table[(table["metric"] == "loss") & (table["step"] == 2)]["value"]
    assert losses.nunique() == 2


BAD = {
    "no file": ("none.py:Own", "none.py: no such file"),
    "no class": ("own.py:Nothing", "own.py:Nothing: expected a class there"),
    "no module": ("nowhere.Own", "nowhere.Own: there is no module 'nowhere' on Python's path"),
    "no class in a module": ("json.Own", "json.Own: expected a class there"),
    "no annotation": ("functions.py:vague", "functions.py:vague: expected a class, or a function that says"),
    "batch statistics": ("functions.py:Batch", "Batch changes its buffers, as batch normalisation does"),
    "not Python": ("syntax.py:Own", "syntax.py cannot be imported: SyntaxError"),
    "a mistake": ("mistake.py:Own", "mistake.py cannot be imported: line 2: NameError"),
    "a missing package": ("missing.py:Own", "missing.py cannot be imported: line 1: ModuleNotFoundError"),
    "an unknown argument": ({"class_path": "own.py:Own", "init_args": {"wide": 4}}, "'wide' is not accepted"),
    "a wrong argument": ({"class_path": "own.py:Own", "init_args": {"width": "x"}}, "width"),
    "an argument that fails": ({"class_path": "own.py:Own", "init_args": {"width": 3}}, "the network cannot be made"),
    "an unknown model": ({"class_path": "timm.create_model", "init_args": {"model_name": "none"}}, "Unknown model"),
}


def refused(answer, says):
    code, lines = answer
    assert code == 2 and len(lines) == 1 and lines[0].startswith("study: error: ") and len(lines[0]) < 400, lines
    assert says in lines[0]
    assert not Path("runs").exists(), "nothing may be written"


@pytest.mark.parametrize("case", BAD)
def test_a_network_that_cannot_be_imported_or_made_is_refused_in_one_line(case, folder, fit):
    network, says = BAD[case]
    Path("functions.py").write_text(FUNCTIONS)
    Path("syntax.py").write_text("class Own(:\n")
    Path("mistake.py").write_text("\nOwn = Nothing\n")
    Path("missing.py").write_text("import nowhere_at_all\n")
    refused(fit(changed(NETWORK_PLACE, {"class_path": network} if isinstance(network, str) else network)), says)


@pytest.mark.parametrize(
    ("place", "base"),
    [
        (("model", "encoder"), "Encoder"),
        (("model", "objective"), "Objective"),
        (("model", "predictor"), "Predictor"),
        (("data",), "Pairs"),
        (("trainer", "callbacks"), "Callback"),
    ],
)
def test_a_class_of_the_wrong_base_is_refused_by_the_name_that_was_given(place, base, folder, fit):
    spec = {"class_path": "own.py:Own"}
    refused(
        fit(changed(place, [spec] if base == "Callback" else spec)), f"own.py:Own does not correspond to a subclass of {base}"
    )


def test_a_users_packages_of_our_names_are_out_of_the_way_and_said_so(folder, fit):
    """Beside the file there is a package models, and the file imports ours."""
    Path("models").mkdir()
    Path("models", "__init__.py").write_text("raise RuntimeError\n")
    Path("own.py").write_text("import models\n" + NETWORK)
    code, lines = fit(CONFIG)
    assert code == 0 and [line for line in lines if "models beside" in line and "is hidden by" in line] == lines[:1] == lines


def test_two_files_that_import_different_modules_of_one_name_are_refused(folder, fit):
    Path("other").mkdir()
    for name in ("own.py", "blocks.py"):
        shutil.copy(name, "other")
    Path("other", "own.py").write_text(NETWORK + "\n\ndef act(x):\n    return x\n")
    config = changed(NETWORK_PLACE, {"class_path": "other/own.py:Own"})
    config["trainer"]["callbacks"].append({"class_path": "own.py:Own"})
    refused(fit(config), "blocks beside")


def test_a_package_that_hides_ours_is_refused_before_anything_is_done(folder):
    Path("models").mkdir()
    Path("models", "__init__.py").touch()
    Path("run.yaml").write_text(yaml.safe_dump(CONFIG))
    root = Path(outside.__file__).parents[1]
    command = [sys.executable, "-m", "study.cli", "fit", "--config", "run.yaml"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{root}"}
    )
    assert done.returncode == 2 and not Path("runs").exists()
    (line,) = done.stderr.splitlines()
    assert f"found {folder / 'models' / '__init__.py'}" in line


def test_the_same_file_named_twice_is_imported_once(folder):
    Path("own.py").write_text("with open('count', 'a') as file:\n    file.write('x')\n\n\nclass Own:\n    pass\n")
    first, second = outside.resolve("own.py:Own"), outside.resolve(f"{folder}/./own.py:Own")
    assert first is second and Path("count").read_text() == "x"


def test_names_of_a_configuration_come_back_as_they_were_given(folder):
    """Dotted names as they are, files with their whole path, also in lists and as bare callables."""
    given = {
        "class_path": "torch.nn.Linear",
        "init_args": {"list": ["own.py:Own", 3, None, {"class_path": "own.py:Own"}], "text": "a.b", "other": "c.py"},
    }
    whole = f"{folder / 'own.py'}:Own"
    expected = {
        "class_path": "torch.nn.Linear",
        "init_args": {"list": [whole, 3, None, {"class_path": whole}], "text": "a.b", "other": "c.py"},
    }
    made = naming.internal(given)
    assert naming.external(made) == expected and naming.internal(expected) == made
    assert ":" not in made["init_args"]["list"][0]
