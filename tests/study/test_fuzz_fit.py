"""Thousands of configurations of `study fit` that are wrong in some way, or right.

Whatever a file says, the command ends soon: with a run that is done and whole, or with one short line. The long version is

    python -m pytest tests/study/test_fuzz_fit.py -m slow
"""

import copy
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from study import cli

VALID = {
    "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "study.observers.Health", "init_args": {"every": 2, "sample": 4}}]},
    "model": {
        "encoder": {
            "class_path": "models.MLP",
            "init_args": {"inputs": 4, "hidden": [4], "features": 2, "activation": "linear", "eps": 0.1, "init": "balanced",
                          "seeds": [0, 1], "dtype": "float64"},
        },
        "objective": {"class_path": "models.StopGradient"},
        "lr": 0.05, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "kappa": 1.0, "schedule": "constant", "warmup": 0,
    },
    "data": {
        "class_path": "datamodules.GaussianPairs",
        "init_args": {"lam": [1.0, 0.8, 0.5, 0.2], "rho": [0.9, 0.4, 0.7, 0.6], "basis": "diagonal", "seed": 0, "batch": None,
                      "updates": 5, "chunk": 2},
    },
}  # fmt: skip
NUMBERS = [0, 1, -1, 2, 3, 5, 0.5, -0.5, 1e-3, 1e30, 1e400, float("nan"), 2**31, 2**63, 10**12, 10**30, True, False, None]
CLASSES = [
    "models.EMA", "models.Pixels", "models.MLP", "models.nothing", "nowhere.Thing", "os.path.join", "builtins.int", "", ".", "study",
    "datamodules.GaussianPairs", "datamodules.TemporalPairs", "study.observers.Alignment", "study.observers.Probe",
    "study.observers.Loss", "study.observers.Table", "lightning.pytorch.callbacks.EarlyStopping", "lightning.Callback",
]  # fmt: skip
WORDS = [
    "",
    "adamw",
    "cosine",
    "relu",
    "float32",
    "auto",
    "ddp",
    "normal",
    "rotated",
    "none",
    "1e-3",
    "run.yaml",
    "\u00e9",
    "x" * 400,
]
OPTIONS = ["max_epochs", "max_steps", "fast_dev_run", "precision", "devices", "num_nodes", "logger", "deterministic", "nothing"]
LEAVES = st.sampled_from([*NUMBERS, *CLASSES, *WORDS])
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["class_path", "init_args", "a", "1"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value, at=()):
    """The way to every part of a configuration."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*at, key)
        yield from places(value[key], (*at, key))


@st.composite
def configurations(draw):
    made = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 3))):
        *way, last = draw(st.sampled_from(list(places(made))))
        parent = made
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["change", "change", "change", "drop", "add", "option"])):
            case "change":
                parent[last] = draw(JUNK)
            case "drop":
                del parent[last]
            case "add" if isinstance(parent, dict):
                parent[draw(st.sampled_from([*WORDS[:5], "lr", "every", "class_path", "dict_kwargs"]))] = draw(JUNK)
            case "option" if isinstance(made.get("trainer"), dict):
                made["trainer"][draw(st.sampled_from(OPTIONS))] = draw(LEAVES)
        if not list(places(made)):
            break
    return tame(made)


def tame(made):
    """Without what is right, and would be done: billions of updates, and processes beyond this one."""
    for section, name, most in (("data", "updates", 50), ("trainer", "devices", 1)):
        options = made.get(section)
        options = options.get("init_args") if section == "data" and isinstance(options, dict) else options
        if isinstance(options, dict) and isinstance(options.get(name), int | float) and options[name] > most:
            options[name] = most
    return made


def holds(made, capsys):
    """The promise, for one configuration."""
    before, folder = Path.cwd(), tempfile.mkdtemp()
    os.chdir(folder)
    try:
        Path("run.yaml").write_text(yaml.safe_dump(made))
        capsys.readouterr()
        try:
            code = cli.main(["fit", "--config", "run.yaml"])
        except SystemExit as stop:
            code = stop.code
        lines = capsys.readouterr().err.splitlines()
        if code == 0:
            (done,) = Path().glob("runs/fit/*/done")
            resolved = yaml.safe_load((done.parent / "config.yaml").read_text())
            table = pd.read_parquet(done.parent / "metrics.parquet")
            assert table["step"].max() == resolved["data"]["init_args"]["updates"]
            assert set(table["network"]) == set(range(len(resolved["model"]["encoder"]["init_args"]["seeds"])))
            assert not table.duplicated(["network", "step", "metric"]).any()
        else:
            assert code in (1, 2)
            assert (
                len([line for line in lines if line.startswith("study: ")]) == 1 and len(lines) == 1 and len(lines[0]) < 500
            ), lines
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def fuzzed(examples):
    return settings(
        max_examples=examples, deadline=20_000, derandomize=examples < 100, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip


@fuzzed(40)
@given(made=configurations())
@example(made=VALID)
@example(made=VALID | {"trainer": [1]})
def test_a_configuration_is_honoured_or_refused_in_one_line(made, capsys):
    holds(made, capsys)


@pytest.mark.slow
@fuzzed(2000)
@given(made=configurations())
def test_thousands_of_configurations_are_honoured_or_refused_in_one_line(made, capsys):
    holds(made, capsys)
