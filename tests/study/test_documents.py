"""What docs/networks.md shows is trained as it stands, and what docs/commands.md shows is printed."""

import copy
import doctest
import glob
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from study import cli
from study.terminal import announce

TEXT = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
WHOLE, *PARTS = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
CHANGES = {
    "as it is": lambda config: None,
    "teacher": lambda config: config["model"].update(PARTS[0]),
    "pixels": lambda config: config["model"].update(objective={"class_path": "models.Pixels"}),
    "transformer": lambda config: config["model"]["encoder"]["init_args"].update(PARTS[1]),
    "recorded": lambda config: config["model"]["encoder"]["init_args"].update(recorded=["stem", "blocks.0.second"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_configuration_of_the_document_trains_and_is_probed(change, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(WHOLE)
    CHANGES[change](config)
    Path("run.yaml").write_text(yaml.safe_dump(config))
    code, lines = study("fit", "--config", "run.yaml")
    assert code == 0, lines
    (done,) = Path().glob("runs/fit/*/done")
    table = pd.read_parquet(done.with_name("metrics.parquet"))
    assert {"loss", "distractor/share", "probe/online/features/noisy/test-100"} <= set(table["metric"])
    assert set(table["network"]) == {0, 1} and table["step"].max() == 40
    code, lines = study("probe", done.parent / "checkpoints" / "last.ckpt")
    assert code == 0, lines
    taps = set(pd.read_csv(done.parent / "checkpoints" / "probe.csv")["tap"])
    assert {"raw", "features", "block1"} <= taps and ("blocks.0.second" in taps) == (change == "recorded")


OWN = """
from torch import nn


class Own(nn.Sequential):
    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Conv2d(3, width, 3), nn.GroupNorm(2, width), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 5))
"""


def test_a_module_of_a_users_own_trains_is_probed_and_is_known_by_its_source(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_network.py").write_text(OWN)
    config = copy.deepcopy(WHOLE)
    network = {"class_path": "own_network.Own", "init_args": {"width": 4}}
    config["model"]["encoder"]["init_args"]["network"] = network
    Path("run.yaml").write_text(yaml.safe_dump(config))
    assert study("fit", "--config", "run.yaml")[0] == 0
    (done,) = Path().glob("runs/fit/*/done")
    assert "class own_network.Own" in done.with_name("provenance.json").read_text()
    checkpoint = done.parent / "checkpoints" / "last.ckpt"
    code, (line,) = study("probe", checkpoint)
    assert code == 2 and "give --trust own_network.Own" in line
    assert study("probe", checkpoint, "--trust", "own_network.Own")[0] == 0


def test_a_function_that_makes_a_network_is_known_by_its_source_and_made_only_where_it_is_trusted(study, tmp_path, monkeypatch):
    """Given as a name by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = copy.deepcopy(WHOLE)
    config["model"]["encoder"]["init_args"]["network"] = "own_function.make"
    Path("run.yaml").write_text(yaml.safe_dump(config))
    for edited in ("", "# edited\n"):
        Path("own_function.py").write_text(f"{OWN}\n\ndef make() -> nn.Module:\n    return Own(4)\n{edited}")
        sys.modules.pop("own_function", None)
        assert study("fit", "--config", "run.yaml")[0] == 0
    first, second = Path().glob("runs/fit/*/done")
    assert all("class own_function.make" in done.with_name("provenance.json").read_text() for done in (first, second))
    sys.modules.pop("own_function", None)
    code, (line,) = study("probe", first.parent / "checkpoints" / "last.ckpt")
    assert code == 2 and "give --trust own_function.make" in line and "own_function" not in sys.modules
    assert study("probe", first.parent / "checkpoints" / "last.ckpt", "--trust", "own_function.make")[0] == 0


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"class_path": "torchvision.models.AlexNet"}, "cannot take views of shape"),
        ({"class_path": "models.networks.Nothing"}, "models.networks.Nothing"),
        ({"class_path": "models.networks.Convolution", "init_args": {"size": 9}}, "must divide the side 9"),
    ],
)
def test_a_network_that_cannot_be_is_refused_in_one_line(network, says, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(WHOLE)
    config["model"]["encoder"]["init_args"]["network"] = network
    Path("run.yaml").write_text(yaml.safe_dump(config))
    code, lines = study("fit", "--config", "run.yaml")
    assert code == 2 and len(lines) == 1 and says in lines[0], lines
    assert not Path("runs").exists()


def test_the_science_can_be_read_in_one_sitting():
    root = Path(__file__).parents[2]
    order = (root / "README.md").read_text().split("read it in this\norder:")[1].split(").\n\n")[0]
    files = re.findall(r"`([\w/]+\.py)`", order)
    assert len(files) == 6
    assert sum(len((root / file).read_text().splitlines()) for file in files) <= 650


COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_commands_of_the_document_print_what_it_shows(tmp_path, monkeypatch, capsys):
    """One after the other in one folder; `...` stands for anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    announce.cache_clear()
    Path("examples").symlink_to(COMMANDS.parents[1] / "examples")
    text = "".join(re.findall(r"```console\n(.*?)```", COMMANDS.read_text(), re.DOTALL))
    blocks = re.findall(r"^\$ study (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    assert len(blocks) == text.count("$ ") >= 10
    for given, expected in blocks:
        arguments = [found for part in shlex.split(given) for found in (sorted(glob.glob(part)) if "*" in part else [part])]
        monkeypatch.setattr(sys, "argv", ["study", *arguments])
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert code == (2 if "study: error" in expected else 0), err
        assert doctest.OutputChecker().check_output(expected, out + err, LIKE), f"$ study {given}\n{out}{err}"
