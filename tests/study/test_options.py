"""What `study fit` is asked for is honoured, or refused in one line before anything is written."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from lightning import Callback

from models import fused
from study.observers import Health
from study.running.integration import Integration

OBSERVER = {"class_path": "study.observers.Alignment", "init_args": {"every": 2, "k": 2}}


def configuration(**changes):
    """A training of two networks; changes by dotted names, `__` for the dot."""
    made = {
        "trainer": {"accelerator": "cpu", "callbacks": [OBSERVER | {"init_args": dict(OBSERVER["init_args"])}]},
        "model": {
            "encoder": {
                "class_path": "models.MLP",
                "init_args": {"inputs": 4, "hidden": [4], "features": 3, "seeds": [0, 1], "dtype": "float64"},
            },
            "objective": {"class_path": "models.StopGradient"},
            "lr": 0.05,
        },
        "data": {
            "class_path": "datamodules.GaussianPairs",
            "init_args": {"lam": [1.0, 0.8, 0.5, 0.2], "rho": [0.9, 0.4, 0.7, 0.6], "updates": 6, "chunk": 2},
        },
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        place = made
        for name in way:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    return made


@pytest.fixture
def fit(study, tmp_path, monkeypatch):
    """`study fit` of a configuration, or of the text of a file, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(content):
        data = yaml.safe_dump(content) if isinstance(content, dict) else content
        Path("run.yaml").write_bytes(data if isinstance(data, bytes) else data.encode())
        return study("fit", "--config", "run.yaml")

    return run


def refused(answer, says):
    code, lines = answer
    assert code == 2, lines
    assert len(lines) == 1 and lines[0].startswith("study: error: ") and len(lines[0]) < 330, lines
    assert says in lines[0]
    assert not list(Path().rglob("config.yaml")), "nothing may be written"


ENCODER, DATA = "model__encoder__init_args__", "data__init_args__"
EVERY = "trainer__callbacks__0__init_args__every"
LIGHTNING = "lightning.pytorch.callbacks."


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("observers", [[], [OBSERVER]])
@pytest.mark.parametrize("inputs", [3, 5])
def test_an_encoder_of_other_inputs_than_the_data_is_refused(inputs, observers, batch, fit):
    made = configuration(**{f"{ENCODER}inputs": inputs, "trainer__callbacks": observers, f"{DATA}batch": batch})
    refused(fit(made), f"the encoder takes {inputs} inputs, and the data have 4")


def test_an_integration_of_other_inputs_than_the_data_is_refused(tmp_path):
    encoder = {"inputs": 3, "hidden": [], "features": 2, "seeds": [0], "dtype": "float64"}
    config = {
        "model": {
            "encoder": {"class_path": "models.MLP", "init_args": encoder},
            "objective": {"class_path": "models.StopGradient"},
        },
        "data": {"class_path": "datamodules.GaussianPairs", "init_args": {"lam": [1.0, 0.5], "rho": [0.5, 0.4]}},
        "flow": {"until": 1.0},
    }
    with pytest.raises(ValueError, match="the encoder takes 3 inputs, and the data have 2"):
        Integration("test", "sizes", config).execute(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit_train_batches", 1), ("max_steps", 1), ("fast_dev_run", True), ("overfit_batches", 1), ("max_time", "00:00:00:00"),
        ("max_epochs", 0), ("max_epochs", 2), ("max_epochs", -1), ("min_epochs", 2), ("precision", "16-mixed"),
        ("accumulate_grad_batches", 2), ("gradient_clip_val", 0.1), ("logger", False), ("barebones", True),
    ],
)  # fmt: skip
def test_what_the_trainer_cannot_honour_is_refused_by_name(option, value, fit):
    refused(fit(configuration(**{f"trainer__{option}": value})), f"trainer.{option} = ")


@pytest.mark.parametrize(
    ("callbacks", "says"),
    [
        ([{"class_path": LIGHTNING + "EarlyStopping", "init_args": {"monitor": "loss"}}], "EarlyStopping cannot be honoured"),
        ([{"class_path": LIGHTNING + "Timer", "init_args": {"duration": "00:00:00:00"}}], "Timer cannot be honoured"),
        (
            [{"class_path": LIGHTNING + "StochasticWeightAveraging", "init_args": {"swa_lrs": 0.1}}],
            "StochasticWeightAveraging cannot be honoured",
        ),
        ([{"class_path": LIGHTNING + "ModelCheckpoint"}], "ModelCheckpoint cannot be honoured"),
        (OBSERVER, "must be a list, found one callback"),
        ([{"class_path": "study.observers.Loss", "init_args": {"every": 2}}], "every run has a Loss already"),
        ([{"class_path": "study.observers.Table"}], "every run has a Table already"),
        ([OBSERVER, OBSERVER], "Alignment is among the callbacks twice"),
        ([{"class_path": "models.Pixels"}], "trainer.callbacks: Import path models.Pixels does not correspond to a subclass"),
        ([3], "trainer.callbacks: "),
    ],
)
def test_callbacks_that_do_not_only_measure_are_refused_by_name(callbacks, says, fit):
    refused(fit(configuration(trainer__callbacks=callbacks)), says)


class Named(Health):
    """An observer of a user's, of which there can be several."""

    def __init__(self, every: int, name: str) -> None:
        super().__init__(every)
        self.name = name

    def measure(self, learner, data, last):
        return {self.name: learner.predictor.weight.sum((1, 2))}


@pytest.mark.parametrize(("names", "code"), [(("a", "b"), 0), (("a", "a"), 2)])
def test_a_metric_has_one_observer_and_an_observers_class_may_have_several(names, code, fit):
    observers = [
        {"class_path": f"{__name__}.Named", "init_args": {"every": every, "name": name}}
        for every, name in zip((4, 8), names, strict=True)
    ]
    found = fit(configuration(trainer__callbacks=observers))
    assert found[0] == code
    if code:
        assert "a was recorded twice after update 0" in found[1][0]


class Stops(Callback):
    """A callback of a user's that ends a training after its first chunk."""

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = True


def test_a_training_that_a_callback_ends_early_is_not_done(fit, monkeypatch):
    import study.observers

    monkeypatch.setattr(study.observers, "Stops", Stops, raising=False)
    monkeypatch.setattr(Stops, "__module__", "study.observers")
    made = configuration(trainer__callbacks=[{"class_path": "study.observers.Stops"}])
    made["data"]["init_args"]["chunk"] = 1
    code, lines = fit(made)
    assert code == 2 and len(lines) == 1 and "ended after 1 of 6 updates" in lines[0], lines
    assert not list(Path().rglob("done"))
    assert not list(Path().rglob("metrics.parquet"))


NUMBERS = {
    f"{DATA}updates": [0, 10**30, "many"],
    f"{DATA}chunk": [0],
    f"{DATA}batch": [0, -1, 10**20],
    EVERY: [0, -1],
    "trainer__callbacks__0__init_args__recorded": [-3],
    f"{ENCODER}seeds": [[], [2**62, 1], [-1, 1], [10**30]],
    f"{ENCODER}hidden": [[-1], [10**9], [10**200], "wide"],
    f"{ENCODER}inputs": [0],
    f"{ENCODER}eps": [float("nan")],
    "model__lr": [float("nan"), float("inf"), "abc", []],
    "model__momentum": [float("nan")],
    "model__warmup": [-1, 10**30],
    f"{DATA}lam": [[], [float("inf")] * 4, [[1.0], [1.0, 2.0]]],
    "trainer__devices": [0, "a", [], [0, 0], -1],
    "trainer__num_nodes": [0, -1, 2, None],
    "trainer__accelerator": ["tpu", "warp"],
    "trainer__strategy": ["fsdp"],
    "data__class_path": ["nowhere.Pairs", "os.path.join"],
    "data": ["junk"],
    "trainer": [[1]],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in NUMBERS.items() for value in values])
def test_values_that_are_impossible_are_refused_by_the_name_of_their_key(path, value, fit):
    refused(fit(configuration(**{path: value})), "batch" if path.endswith("batch") else "")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXT = yaml.safe_dump(configuration())
FILES = {
    "a key twice": (TEXT.replace("  lr: 0.05", "  lr: 0.05\n  lr: 0.5"), "'lr' is given twice, first in line"),
    "a section twice": (TEXT + "trainer: {}\n", "'trainer' is given twice"),
    "Latin-1": ("# \xe9\n".encode("latin-1") + TEXT.encode(), "not text in UTF-8, found byte 0xe9"),
    "UTF-16": (TEXT.encode("utf-16-le"), "not YAML"),
    "NUL": (b"\0" + TEXT.encode(), "not YAML"),
    "empty": ("", "expected a mapping of names to values"),
    "a list": ("- 1\n- 2\n", "expected a mapping of names to values, found list"),
    "a tag": ("a: !!python/object/apply:os.system ['true']\n", "found the tag"),
    "deep": ("a: " + "[" * 1500 + "]" * 1500, "more than 64 levels"),
    "a bomb": (BOMB, "aliases stand for more than 1,000,000 values"),
    "a cycle": ("a: &a [*a]\n", "*a stands for nothing that ends before it"),
    "two documents": (TEXT + "---\n" + TEXT, "not YAML"),
}


@pytest.mark.parametrize("case", FILES)
def test_yaml_that_would_be_read_otherwise_than_meant_is_refused_with_the_name_of_the_file(case, fit):
    content, says = FILES[case]
    answer = fit(content)
    refused(answer, says)
    assert "run.yaml: " in answer[1][0]


TYPOS = {
    "of the model": ("  lr: 0.05", "  momentun: 0.5", "column 3: ", "'momentun'; valid options: --model.momentum"),
    "of a class": ("      inputs: 4", "      inputs: 4\n      epps: 0.1", "column 7: ", "'epps' is not accepted; valid options: --eps"),
    "of an observer": ("      every: 2", "      evry: 2", "column 7: ", "'evry' is not accepted; valid options: --every"),
    "of a type": ("      features: 3", "      features: many", "column 7: ", "features"),
    "of a class's name": ("    class_path: models.MLP", "    class_path: models.MLPP", "column 17: ", "models.MLPP: expected a class there"),
    "of a section": ("data:\n", "datum:\n", "column 1: ", "valid options: "),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPOS)
def test_a_mistake_in_a_file_is_named_with_its_line_and_column_and_what_is_valid(case, fit):
    found, typed, column, says = TYPOS[case]
    assert found in TEXT
    text = TEXT.replace(found, typed, 1)
    line = next(i for i, line in enumerate(text.splitlines(), 1) if line == typed.splitlines()[-1])
    answer = fit(text)
    refused(answer, says)
    assert f"run.yaml, line {line}, {column}" in answer[1][0]


def test_a_cluster_file_with_a_key_twice_is_refused(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text("nodes: 1\nnodes: 2\n")
    refused(study("run", "flips", "--cluster", tmp_path / "cluster.yaml", "--out", tmp_path), "line 2: 'nodes' is given twice")


@pytest.mark.parametrize(
    "arguments", [("run", "dynamics", "--seed", "3"), ("fit", "--conf", "run.yaml"), ("claims", "--ou", "x")]
)
def test_options_are_not_abbreviated(arguments, study):
    code, lines = study(*arguments)
    assert code == 2 and len(lines) == 1 and "nrecognized" in lines[0], lines


@pytest.mark.parametrize(
    "option", [("dynamics", "--seeds"), ("flips", "--pairs"), ("phases", "--points"), ("ema", "--tolerance")]
)
def test_more_networks_than_can_be_counted_are_refused_at_once(option, study, tmp_path):
    code, lines = study("run", *option, "10000000000000", "--out", tmp_path)
    assert code == 2 and len(lines) == 1, lines


SHELLS = {
    "a login shell of salloc": {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"},
    "a batch script": {
        "SLURM_JOB_ID": "7",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
    },
    "tasks for each node": {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"},
}


@pytest.mark.parametrize("shell", SHELLS)
def test_in_a_shell_of_slurm_that_srun_did_not_start_a_training_is_one_process(shell, fit, monkeypatch):
    for name, value in SHELLS[shell].items():
        monkeypatch.setenv(name, value)
    code, lines = fit(configuration())
    assert (code, lines) == (0, [])
    table = pd.read_parquet(next(Path().rglob("metrics.parquet")))
    assert table["step"].max() == 6
    assert set(table["network"]) == {0, 1}


COMPILERS = {
    "hangs": ("#!/bin/sh\nsleep 60\n", 0o755, "timed out"),
    "may not be executed": ("#!/bin/sh\n", 0o644, "Permission denied"),
    "makes a library without the symbol": (
        '#!/bin/sh\nfor last; do :; done\necho "int other;" > $0.c\nexec cc -shared -o "$last" $0.c\n', 0o755, "train",
    ),
    "speaks Latin-1": ("#!/bin/sh\nprintf 'd\\351faut\\n' >&2\nexit 1\n", 0o755, "faut"),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPILERS)
def test_a_compiler_that_fails_in_any_way_is_said_in_one_line_and_done_without(case, tmp_path, monkeypatch, capsys):
    content, mode, says = COMPILERS[case]
    command = tmp_path / "compiler"
    command.write_text(content)
    command.chmod(mode)
    monkeypatch.setenv("CC", str(command))
    monkeypatch.setattr(fused, "PATIENCE", 0.2 if case == "hangs" else 60.0, raising=False)
    fused.library.cache_clear()
    if hasattr(fused, "say"):
        fused.say.cache_clear()
    try:
        assert fused.library(torch.float32) is None
    finally:
        fused.library.cache_clear()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("study: no C kernel") and says in line


def test_a_compiler_with_arguments_is_used(tmp_path, monkeypatch):
    command = tmp_path / "compiler"
    command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec cc "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("CC", f"{command} -DNAMED")
    fused.library.cache_clear()
    try:
        assert fused.library(torch.float32) is not None
    finally:
        fused.library.cache_clear()
    assert (tmp_path / "asked").read_text().startswith("-DNAMED ")
