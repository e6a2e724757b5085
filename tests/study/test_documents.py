"""What the documents show is done as it stands: their files are written, their commands given and their Python executed, in the order of
the document, in an empty folder of its own."""

import copy
import doctest
import glob
import re
import shlex
import sys
import tomllib
from pathlib import Path

import documents
import pandas as pd
import pytest
import yaml

from study import cli
from study.commands import run
from study.launch import slurm
from study.running.training import StudyCLI
from study.terminal import announce

# Commands that take minutes, or other machines. They are followed to where their work begins: an experiment makes its first runs, for
# which it looks at the data. What they do then has tests of its own.
LONG = {
    "study run linear",
    "study run networks",
    "study run pixels --images folder --root photographs --size 8 --directions 20",
    "study run pixels --images arrays --root recordings.npy --window 20 --step 5 --directions 10",
    "study run pixels --images arrays --root vectors.npz --directions 4",
    "study run pixels --images parquet --root tables --size 8 --directions 20",
    "study run networks --images parquet --root tables",
    "study run flips --launcher slurm --partition gpu --gpus-per-node 1 --timeout 120",
    "study run flips --launcher slurm --cluster cluster.yaml --runs-per-job 4",
}
DOWNLOAD = "study run pixels --images cifar10 --root data --download True"  # only its options are read
DISTRIBUTED = "--trainer.strategy ddp"  # tests/study/test_ddp.py; here the configuration is made
EXTRAS = tomllib.loads((documents.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
MAKEFILE = (documents.ROOT / "Makefile").read_text()


def begin(wanted, out, *_):
    """In the place of what runs experiments: make their first runs, and the folders of their results."""
    for kind, options in wanted:
        (out / kind.name).mkdir(parents=True, exist_ok=True)
        assert next(kind(**options, device="cpu").plan())


def make(wanted, *_):
    """In its place: make the experiments."""
    for kind, options in wanted:
        kind(**options, device="cpu")


@pytest.fixture
def give(study, monkeypatch):
    """Gives a command of a document."""

    def give(line):
        program, *arguments = shlex.split(line, comments=True)
        command = " ".join([program, *arguments])
        if DISTRIBUTED in command:
            with monkeypatch.context() as patched:
                if program != "study":  # what srun and torchrun tell the processes that they start
                    patched.setenv("MASTER_ADDR", "first")
                StudyCLI(arguments[arguments.index("fit") + 1 :]).resolved()
        elif program == "make":
            assert re.search(rf"(?m)^{arguments[0]}:", MAKEFILE)
        elif program == "pip":
            assert arguments[0] == "install" and arguments[1].strip(".[]") in EXTRAS
        elif program == "python":
            assert arguments[:4] == ["-m", "pytest", "-m", "slow"]
            assert "pytest.mark.slow" in (documents.ROOT / arguments[-1]).read_text()
        else:
            assert program == "study", f"nothing here knows how to try {command!r}"
            with monkeypatch.context() as patched:
                if command in {*LONG, DOWNLOAD}:
                    patched.setattr(run, "run", make if command == DOWNLOAD else begin)
                    patched.setattr(slurm, "check_installed", lambda: None)
                code, lines = study(*[name for text in arguments for name in sorted(glob.glob(text)) or [text]])
            assert code == 0, lines

    return give


@pytest.mark.parametrize("name", documents.NAMES)
def test_every_block_of_a_document_does_what_it_shows(name, give, forget, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for file, text in documents.files(name).items():
        Path(file).write_text(text)
    known = {}
    for block in documents.blocks(name):
        match block.language:
            case _ if block.file:
                pass
            case "python":
                exec(compile(block.text, name, "exec"), known)
            case "pycon":
                example = doctest.DocTestParser().get_doctest(block.text, {}, name, None, None)
                assert (
                    example.examples
                    and doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed == 0
                )
            case "sh":
                for line in block.text.splitlines():
                    give(line)
            case "console" if name == "docs/commands.md":
                pass  # it shows what goes wrong too, and has a test of its own, below
            case "console":
                for command, shown in documents.sessions(block.text):
                    capsys.readouterr()
                    assert cli.main(shlex.split(command)[1:]) == 0
                    documents.check_shown(shown, capsys.readouterr().out)
            case "yaml":
                assert name == "docs/networks.md", "a part of a file is tried by a test of its own, below"
            case language:
                assert language == "text", f"nothing here knows how to try {language!r}"


def test_no_document_has_code_that_is_not_tried_for_want_of_a_fence():
    for name in documents.NAMES:
        text = documents.FENCED.sub("", (documents.ROOT / name).read_text())
        assert "```" not in text and not re.search(r"(?m)^\n    \S", text), name


def test_every_command_that_is_only_followed_is_in_a_document():
    shown = {
        line.split(" #")[0].strip() for name in documents.NAMES for b in documents.blocks(name) for line in b.text.splitlines()
    }
    assert {*LONG, DOWNLOAD} <= shown


WHOLE, *PARTS = (yaml.safe_load(block.text) for block in documents.blocks("docs/networks.md") if block.language == "yaml")
CHANGES = {
    "as it is": lambda config: None,
    "masked": lambda config: config["data"]["init_args"].update(PARTS[0]),
    "teacher": lambda config: config["model"].update(PARTS[1]),
    "pixels": lambda config: config["model"].update(objective={"class_path": "models.Pixels"}),
    "transformer": lambda config: config["model"]["encoder"]["init_args"].update(PARTS[2]),
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
    order = (documents.ROOT / "CONTRIBUTING.md").read_text().split("## Reading order\n\n")[1].split("\n\n")[0]
    files = re.findall(r"`([\w/]+\.py)`", order)
    assert len(files) == 6
    assert sum(len((documents.ROOT / file).read_text().splitlines()) for file in files) <= 650


COMMANDS = documents.ROOT / "docs" / "commands.md"
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
