"""The help of every command: on one screen, at once, with examples that work, and values as people write them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import datamodules.noise
from study import choices, cli
from study.arguments import Parser
from study.commands import COMMANDS, command
from study.commands.run import parser_of
from study.experiments import EXPERIMENTS

ROOT = Path(__file__).parents[2]
HELPS = [("--help",), *((name, "--help") for name in COMMANDS), *(("run", name, "--help") for name in (*EXPERIMENTS, "linear"))]
SCREEN = 48  # lines


def shown(arguments, capsys):
    try:
        code = cli.main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize("arguments", HELPS, ids=" ".join)
def test_a_help_fits_a_screen_of_80_columns_and_has_two_examples(arguments, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(arguments, capsys).splitlines()
    assert lines[0].startswith("usage: study ") and len(lines) <= SCREEN
    assert all(len(line) <= 80 for line in lines if not line.startswith("  study "))
    assert sum(line.startswith("  study ") for line in lines) == (0 if arguments == ("--help",) else 2)


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_a_help_can_be_read_on_a_terminal_of_any_width(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lines = shown(("run", "networks", "--help"), capsys).splitlines()
    assert max(map(len, lines)) <= (110 if columns == "200" else 60)
    assert sum("--gamma 0.4" in line for line in lines) == 1 and sum("--gpus-per-node" in line for line in lines) == 1
    assert "its correlation between views, in [0, 1]; its rho" in " ".join(" ".join(lines).split())


def test_no_help_imports_what_computes():
    """In one process, all of them: torch would stay where it was imported once."""
    code = f"""
import sys
from study import cli
for arguments in {HELPS!r}:
    try:
        cli.main(list(arguments))
    except SystemExit:
        pass
    found = {{"torch", "lightning", "pandas", "matplotlib", "pyarrow"}} & set(sys.modules)
    assert not found, (arguments, found)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_option_of_an_experiment_is_in_a_group_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = shown(("run", "pixels", "--help"), capsys)
    titles = re.findall(r"^(\w+)(?: \(.*\))?:$", text, re.MULTILINE)
    assert titles == ["examples", "data", "noise", "training", "options", "cluster"]
    for action in parser_of("pixels", [EXPERIMENTS["pixels"]])._actions[1:]:
        assert len(re.findall(rf"(?<!\S){action.option_strings[-1]}(?!\S)", text.split("\ndata:")[1])) == 1
    text = text.split("\ndata:")[1]
    assert text.index("--images") < text.index("--gamma") < text.index("--rates") < text.index("--out") < text.index("--nodes")


class Parsed(Exception):
    """Nothing more is to be done."""


def examples():
    for name in set(COMMANDS) - {"fit"}:
        yield from command(name).EXAMPLES
    for name in EXPERIMENTS:
        yield from parser_of(name, [EXPERIMENTS[name]]).examples


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_every_example_is_understood(example, monkeypatch):
    understood = Parser.parse_args

    def parse_args(self, args, *more, **options):
        understood(self, args, *more, **options)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse_args)
    program, name, *arguments = shlex.split(example.partition(">")[0])
    assert program == "study"
    with pytest.raises((Parsed, SystemExit)) as found:
        command(name).main(arguments)
    assert found.type is Parsed or "--help" in arguments


@pytest.mark.parametrize(
    ("name", "given", "option", "value"),
    [
        ("pixels", ["--rates", "1e-4,3e-4"], "rates", (1e-4, 3e-4)),
        ("pixels", ["--rates=1e-4,3e-4"], "rates", (1e-4, 3e-4)),
        ("pixels", ["--rates", "[1e-4,3e-4]"], "rates", (1e-4, 3e-4)),
        ("pixels", ["--rates", "1e-4, 3e-4"], "rates", (1e-4, 3e-4)),
        ("pixels", ["--rates", "1e-4"], "rates", (1e-4,)),
        ("networks", ["--noises", "clean,patch"], "noises", ("clean", "patch")),
        ("networks", ["--noises", "[clean, patch]"], "noises", ("clean", "patch")),
        ("networks", ["--methods", "stop-gradient"], "methods", ("stop-gradient",)),
        ("dynamics", ["--depths", "2,3"], "depths", (2, 3)),
        ("pixels", ["--download"], "download", True),
        ("pixels", ["--download", "--seeds", "3"], "download", True),
        ("pixels", ["--download", "true"], "download", True),
        ("pixels", ["--download", "False"], "download", False),
        ("pixels", ["--images", "a.b=c.d"], "images", "a.b=c.d"),
    ],
)
def test_values_are_understood_as_people_write_them(name, given, option, value):
    assert vars(parser_of(name, [EXPERIMENTS[name]]).parse_args(given))[option] == value


def test_a_default_is_shown_as_it_would_be_written(capsys):
    text = shown(("run", "networks", "--help"), capsys)
    assert "--rates 0.0005,0.001,0.002" in text and "--noises patch" in text and "--download false" in text
    found = re.findall(r"--(\w+) ([\w.,-]+)  ", text)
    options = [part for option, value in found if value.islower() and option != "chunk" for part in (f"--{option}", value)]
    assert len(options) > 10
    parser_of("networks", [EXPERIMENTS["networks"]]).parse_args(options)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "pixel", "--help"], "expected an experiment, found 'pixel'; choose one of: dynamics"),
        (["show-me", "--help"], "unknown command 'show-me'; choose one of: list, run"),
        (["run", "nowhere.py:Own", "--help"], "nowhere.py: no such file"),
    ],
)
def test_help_of_an_unknown_name_is_one_line_with_the_known_ones(arguments, says, study):
    code, lines = study(*arguments)
    assert code == 2 and len(lines) == 1 and says in lines[0], lines


def test_the_words_that_helps_know_are_those_of_what_computes():
    assert get_args(choices.Kind) == get_args(datamodules.noise.Kind)
