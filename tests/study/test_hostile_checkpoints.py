"""Checkpoints that somebody wrote who knows their checksum: refused in one line by a resume and by a probe, and nothing changes."""

import copy
import hashlib
import io
import os
import shutil

import noisy
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from study import cli
from study.running.checkpoint import Checkpoint, digest

SMALL = {
    "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Alignment", "init_args": {"every": 8, "k": 2}}]},
    "model": {
        "encoder": {"class_path": "models.MLP", "init_args": {"inputs": 12, "hidden": [4], "features": 3, "seeds": [0, 1]}},
        "objective": {"class_path": "models.EMA"},
        "lr": 0.01,
        "momentum": 0.5,
    },
    "data": noisy.config("folder", root="images", size=2, count=50, directions=2, batch=4, updates=40, chunk=4),
}  # fmt: skip
COUNTS = {"train": 40, "validation": 10, "test": 20}


def checksums(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a configuration, and the checkpoint of a training that ended without warning after its second one."""
    folder = tmp_path_factory.mktemp("trained")
    saved = Checkpoint.save

    def save(self, trainer):
        saved(self, trainer)
        if self.path.with_name("previous.ckpt").exists():
            raise MemoryError  # ends the process here

    draw = np.random.default_rng(0)
    for i in range(100):
        image = folder / "images" / f"class{i % 2}" / f"{i}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(image)
    (folder / "run.yaml").write_text(yaml.safe_dump(SMALL))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(Checkpoint, "save", save)
        with pytest.raises(MemoryError):
            cli.main(["fit", "--config", "run.yaml"])
        patched.setattr(Checkpoint, "save", saved)
        os.rename("runs", folder / "before")
        assert cli.main(["fit", "--config", "run.yaml"]) == 0
        os.rename("runs", folder / "finished")
    return folder


@pytest.fixture
def path(trained, tmp_path, monkeypatch):
    """Its last checkpoint, in a copy to be changed, which is the working folder."""
    shutil.copytree(trained / "before", tmp_path / "runs")
    shutil.copy(trained / "run.yaml", tmp_path)
    shutil.copytree(trained / "images", tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("study.probing.Probe", lambda: type("Counts", (), {"counts": COUNTS}))
    (found,) = (tmp_path / "runs").glob("fit/*/checkpoints/last.ckpt")
    return found


def sign(path, content):
    """Write a checkpoint with the checksum that it should have."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getvalue() + digest(buffer.getvalue()))


def change(content, place, value):
    """Replace, or with `...` delete, what lies at a place of nested dictionaries and lists."""
    for name in place[:-1]:
        content = content[name]
    if value is ...:
        del content[place[-1]]
    else:
        content[place[-1]] = value


NAN = torch.full((2, 4, 12), torch.nan)
LAYER = ("state_dict", "encoder.layers.0")
PARTS = ("callbacks", "Table", "stacked")
BOTH = {
    "no weights": (("state_dict",), ...),
    "weights are a list": (("state_dict",), [1, 2]),
    "a weight is missing": (LAYER, ...),
    "a weight of another name": (("state_dict", "encoder.layers.7"), torch.zeros(2, 2)),
    "a weight of another shape": (LAYER, torch.zeros(2, 4, 11)),
    "a weight that is a number": (LAYER, 3.0),
    "a weight of integers": (LAYER, torch.zeros(2, 4, 12, dtype=torch.int64)),
    "a weight that is not a number": (LAYER, NAN),
    "an infinite weight": (LAYER, NAN.nan_to_num(torch.inf)),
    "a sparse weight": (LAYER, torch.zeros(2, 4, 12).to_sparse()),
    "a weight far larger than its file": (LAYER, torch.zeros(1).expand(2, 10**9, 10**9)),
    "no configuration": (("config",), ...),
    "a configuration that is a list": (("config",), ["model"]),
}
RESUME = {
    "no table": (("callbacks", "Table"), ...),
    "no states of observers": (("callbacks",), ...),
    "states of observers that are a list": (("callbacks",), [1]),
    "a table of another name": (("callbacks", "Table", "rows"), []),
    "a table without rows": ((*PARTS,), []),
    "a table with a part less": ((*PARTS, 3), ...),
    "a table with a step less": ((*PARTS, 2, "step"), []),
    "a table of other steps": ((*PARTS, 2, "step"), [5]),
    "a table of other metrics": ((*PARTS, 2, "metrics"), ["lost"]),
    "a table with numbers as metrics": ((*PARTS, 2, "metrics"), [3]),
    "a table of other networks": ((*PARTS, 2, "values"), torch.zeros(1, 1, 3, dtype=torch.float64)),
    "a table of other times": ((*PARTS, 2, "time"), torch.zeros(1, 2, dtype=torch.float64)),
    "no history of gains": (("callbacks", "Alignment"), ...),
    "a shorter history of gains": (("callbacks", "Alignment", "history"), torch.zeros(1, 2, 12, dtype=torch.float64)),
    "a step beyond the run": (("global_step",), 11),
    "a negative step": (("global_step",), -1),
    "a step that is a text": (("global_step",), "5"),
    "an earlier step": (("global_step",), 3),
    "a huge step": (("global_step",), 10**30),
    "another epoch": (("epoch",), 3),
    "no version of Lightning": (("pytorch-lightning_version",), ...),
    "a wrong version of Lightning": (("pytorch-lightning_version",), "x.y"),
    "no optimiser": (("optimizer_states",), ...),
    "two optimisers": (("optimizer_states",), [{}, {}]),
    "another optimiser's state": (("optimizer_states", 0, "state", 0), {"mean": torch.zeros(2, 4, 12)}),
    "an optimiser's state of another shape": (("optimizer_states", 0, "state", 0, "momentum"), torch.zeros(2, 3, 12)),
    "an optimiser's state that is not a number": (("optimizer_states", 0, "state", 0, "momentum"), NAN),
    "another learning rate": (("optimizer_states", 0, "param_groups", 0, "lr"), torch.full((2,), 7.0)),
    "another momentum": (("optimizer_states", 0, "param_groups", 0, "momentum"), 0.1),
    "fewer updates": (("optimizer_states", 0, "param_groups", 0, "updates"), 4),
    "no loops": (("loops",), ...),
    "loops that are a list": (("loops", "fit_loop"), []),
    "an extra key": (("more",), 1),
}


@pytest.mark.parametrize("name", [*BOTH, *RESUME])
def test_a_resume_refuses_a_checkpoint_that_the_training_would_not_have_written(name, path, study):
    content = torch.load(path, weights_only=True)
    change(content, *(BOTH | RESUME)[name])
    sign(path, content)
    before = checksums(path.parents[1])
    code, lines = study("fit", "--config", "run.yaml")
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith("study: error: ") and "checkpoints/last.ckpt: " in lines[0] and len(lines[0]) < 900
    assert checksums(path.parents[1]) == before


@pytest.mark.parametrize("name", BOTH)
def test_a_probe_refuses_weights_that_are_none(name, path, study):
    content = torch.load(path, weights_only=True)
    change(content, *BOTH[name])
    sign(path, content)
    before = checksums(path.parents[3])
    code, lines = study("probe", path)
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"study: error: {path}: ") and len(lines[0]) < 900
    assert ("infinite" not in name and "not a number" not in name) or "encoder.layers.0" in lines[0]
    assert checksums(path.parents[3]) == before


def test_a_checkpoint_with_nothing_changed_is_resumed_and_probed(path, trained, study):
    sign(path, torch.load(path, weights_only=True))
    assert study("probe", path) == (0, [f"study: reading images of images, as {path} says; DATA names others"])
    assert study("fit", "--config", "run.yaml") == (0, [])
    (resumed,), (whole,) = (folder.glob("fit/*/metrics.parquet") for folder in (path.parents[3], trained / "finished"))
    pd.testing.assert_frame_equal(pd.read_parquet(resumed), pd.read_parquet(whole), check_exact=True)


@pytest.mark.parametrize("count", ["ready", "started", "processed", "completed"])
@pytest.mark.parametrize("of", ["current", "total"])
def test_a_loop_that_is_ahead_shortens_no_training(of, count, path, trained, study):
    content = torch.load(path, weights_only=True)
    change(content, ("loops", "fit_loop", "epoch_loop.batch_progress", of, count), 9)
    sign(path, content)
    code, lines = study("fit", "--config", "run.yaml")
    if code == 0:
        (found,), (whole,) = (folder.glob("fit/*/metrics.parquet") for folder in (path.parents[3], trained / "finished"))
        pd.testing.assert_frame_equal(pd.read_parquet(found), pd.read_parquet(whole), check_exact=True)
    else:
        assert (code, len(lines)) == (2, 1)
        assert not list(path.parents[1].glob("done"))


def test_metrics_renamed_in_a_whole_table_do_not_end_in_a_result(path, study):
    """All rows of an observer, so that only what is measured later tells."""
    content = torch.load(path, weights_only=True)
    for part in content["callbacks"]["Table"]["stacked"]:
        part["metrics"] = ["lost" if name == "loss" else name for name in part["metrics"]]
    sign(path, content)
    code, (line,) = study("fit", "--config", "run.yaml")
    assert code == 2 and "table: expected the " in line
    assert not list(path.parents[1].glob("done"))


OPTIONS = ("config", "data", "init_args")
SOURCE = (*OPTIONS, "source", "init_args")
ENCODER = ("config", "model", "encoder", "init_args")
CONFIGURATIONS = {
    "no data": (("config", "data"), ...),
    "data as a text": (("config", "data"), "evil.Data"),
    "an encoder as a text": (("config", "model", "encoder"), "evil.MLP"),
    "an optimiser that is none": (("config", "model", "optimizer"), "evil"),
    "huge hidden layers": ((*ENCODER, "hidden"), [10**9]),
    "huge numbers of networks": ((*ENCODER, "seeds"), list(range(100_000))),
    "negative widths": ((*ENCODER, "features"), -3),
    "widths that are texts": ((*ENCODER, "inputs"), "12"),
    "huge images": ((*SOURCE, "size"), 10**6),
    "huge images for as many inputs": ((*OPTIONS, "noise", "init_args", "directions"), 10**12),
    "one image": ((*OPTIONS, "count"), 1),
    "a source that is none": ((*OPTIONS, "source", "class_path"), "/etc/passwd"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_probe_refuses_a_configuration_that_is_impossible(name, path, study):
    content = torch.load(path, weights_only=True)
    change(content, *CONFIGURATIONS[name])
    sign(path, content)
    code, lines = study("probe", path)
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"study: error: {path}: ") and len(lines[0]) < 900


@pytest.mark.parametrize(
    "place", [("data",), ("model", "encoder"), ("model", "target"), ("data", "init_args", "source", "init_args", "root")]
)
def test_a_probe_imports_only_what_the_user_trusts(place, path, tmp_path, monkeypatch, study):
    """A class outside this project, whose module says that it was imported."""
    (tmp_path / "strangers.py").write_text(
        "from pathlib import Path\nfrom datamodules import SourcePairs\nfrom models import EMA, MLP\n"
        "Path('imported').touch()\nclass Stranger(SourcePairs): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = torch.load(path, weights_only=True)
    target = content["config"]
    for name in place[:-1]:
        target = target[name]
    if isinstance(target.get(place[-1]), dict):
        target[place[-1]]["class_path"] = "strangers.Stranger"
    else:
        target[place[-1]] = {"class_path": "strangers.Stranger"}
    sign(path, content)
    code, (line,) = study("probe", path)
    assert code == 2 and line.startswith(f"study: error: {path}: would run strangers.Stranger") and "--trust" in line
    assert not (tmp_path / "imported").exists()
    if place == ("data",):
        assert study("probe", path, "--trust", "strangers.Stranger") == (
            0,
            [f"study: reading images of images, as {path} says; DATA names others"],
        )
        assert (tmp_path / "imported").exists()


@pytest.mark.parametrize("name", ["models.stack.copy.deepcopy", "datamodules.messages.sys.exit", "models.fused.subprocess.run"])
def test_what_a_module_of_ours_imports_is_none_of_ours(name, path, study):
    content = torch.load(path, weights_only=True)
    content["config"]["model"]["encoder"]["init_args"]["extra"] = {"class_path": name}
    sign(path, content)
    code, (line,) = study("probe", path)
    assert code == 2 and f"would run {name}" in line


def test_a_checkpoint_names_neither_callbacks_nor_downloads(path, tmp_path, monkeypatch, study):
    """What would be a callback of its trainer, a download, and a folder outside."""
    fetched = []
    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", lambda self: fetched.append(self.root))
    content = torch.load(path, weights_only=True)
    content["config"]["trainer"]["callbacks"] = [{"class_path": "strangers.Callback"}]
    options = {"name": "cifar10", "root": str(tmp_path / "fetched"), "size": 2, "download": True}
    content["config"]["data"]["init_args"]["source"] = {"class_path": "datamodules.sources.Torchvision", "init_args": options}
    sign(path, content)
    code, lines = study("probe", path)
    assert code == 2 and not fetched and not (tmp_path / "fetched").exists()
    assert lines[0] == f"study: reading images of {tmp_path / 'fetched'}, as {path} says; DATA names others"
    assert lines[1].startswith(f"study: error: {tmp_path / 'fetched'}: ")


def test_a_callback_of_the_trainer_is_not_made_by_a_probe(path, study):
    content = torch.load(path, weights_only=True)
    content["config"] = copy.deepcopy(content["config"]) | {"trainer": {"callbacks": [{"class_path": "strangers.Callback"}]}}
    sign(path, content)
    assert study("probe", path) == (0, [f"study: reading images of images, as {path} says; DATA names others"])


def places(content, above=()):
    """Where something lies in nested dictionaries and lists."""
    for name in content if isinstance(content, dict) else range(len(content)):
        yield (*above, name)
        if isinstance(content[name], dict | list):
            yield from places(content[name], (*above, name))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 50)
    | st.floats()
    | st.text(max_size=8)
    | st.just([])
    | st.just({})
    | st.just(...)
)


def any_checkpoint_is_refused_or_resumed(examples, path, trained, capsys):
    original = torch.load(path, weights_only=True)
    everywhere = sorted(places(original), key=str)
    (whole,) = (trained / "finished").glob("fit/*/metrics.parquet")
    shutil.copytree(path.parents[3], path.parents[4] / "untouched")

    @settings(max_examples=examples, deadline=None, derandomize=examples < 100, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(draw):
        shutil.rmtree(path.parents[3])
        shutil.copytree(path.parents[4] / "untouched", path.parents[3])
        if draw.draw(st.booleans(), label="bytes"):
            content = bytearray(path.read_bytes()[: -len(digest(b""))])
            for _ in range(draw.draw(st.integers(1, 3), label="changes")):
                content[draw.draw(st.integers(0, len(content) - 1), label="at")] = draw.draw(st.integers(0, 255), label="byte")
            path.write_bytes(bytes(content) + digest(bytes(content)))
        else:
            content = copy.deepcopy(original)
            change(content, draw.draw(st.sampled_from(everywhere), label="place"), draw.draw(VALUES, label="value"))
            sign(path, content)
        before = checksums(path.parents[1])
        for command in (("probe", path), ("fit", "--config", "run.yaml")):
            code = cli.main([str(argument) for argument in command])
            said = capsys.readouterr().err.splitlines()
            lines = [line for line in said if line.startswith(("study: error", "study: stopped: loss"))]
            # A weight of another, finite, value is no weight that could be told from a trained one; it may diverge, which is said.
            assert code in (0, 1, 2) and len(lines) == (code > 0) and all(len(line) < 900 for line in lines), (code, lines)
            if code and command[0] == "probe":
                assert checksums(path.parents[1]) == before
        assert (code == 0) == bool(list(path.parents[1].glob("done")))
        if code == 0:
            (found,) = path.parents[3].glob("fit/*/metrics.parquet")
            table, expected = pd.read_parquet(found), pd.read_parquet(whole)
            assert len(table) == len(expected) and not table.duplicated(["network", "step", "metric"]).any()

    run()


def test_a_checkpoint_of_another_pickle_protocol_is_refused(path, study):
    """Found by changing bytes: torch reads it, with a warning."""
    content = bytearray(path.read_bytes()[: -len(digest(b""))])
    content[content.index(b"\x80\x02") + 1] = 0
    path.write_bytes(bytes(content) + digest(bytes(content)))
    for command in (("probe", path), ("fit", "--config", "run.yaml")):
        code, (line,) = study(*command)
        assert code == 2 and "not a readable checkpoint" in line


def test_any_checkpoint_is_refused_or_resumed(path, trained, capsys):
    any_checkpoint_is_refused_or_resumed(10, path, trained, capsys)


@pytest.mark.slow
def test_any_checkpoint_is_refused_or_resumed_at_length(path, trained, capsys):
    """500 cases: pytest -m slow tests/study/test_hostile_checkpoints.py"""
    any_checkpoint_is_refused_or_resumed(500, path, trained, capsys)
