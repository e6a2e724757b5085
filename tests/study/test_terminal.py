"""The command in odd surroundings: outputs that are closed, full or of another encoding, names with what a terminal takes for
commands, Python's own options. Each in a process of its own, as it is about the process."""

import copy
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from study import cli
from study.running.checkpoint import Checkpoint

ROOT = str(Path(__file__).parents[2])  # where processes find the program
ODD = "a\x1b[31mb\nc[/bold]:smile:é"  # escape sequence, line's end, markup, emoji code, a letter beyond ASCII
SHOWN = r"a\x1b[31mb\nc[/bold]:smile:é"
FIT = {
    "trainer": {"accelerator": "cpu"},
    "model": {
        "encoder": {"class_path": "models.MLP", "init_args": {"inputs": 2, "hidden": [], "features": 2, "eps": 0.1, "seeds": [0]}},
        "objective": {"class_path": "models.EMA"},
    },
    "data": {"class_path": "datamodules.GaussianPairs", "init_args": {"lam": [1.0, 0.5], "rho": [0.4, 0.9], "updates": 8, "chunk": 2}},
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, execution):
    """An execution of `flips`."""
    out = tmp_path_factory.mktemp("finished") / "runs"
    execution(out, 0)
    return out


def process(*arguments, shell="", cwd=None, **environment):
    """A `study` of its own, with redirections of a shell. Its exit code and both outputs."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "study", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | {"PYTHONUNBUFFERED": ""} | environment, capture_output=True, timeout=300
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Does `study fit` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(FIT))
    return lambda: cli.main(["fit", "--config", "fit.yaml"])


@pytest.mark.parametrize("closed", [pytest.param("2>&-", marks=pytest.mark.slow), "<&- >&- 2>&-"])
def test_a_training_is_done_with_closed_outputs(closed, tmp_path):
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(FIT))
    assert process("fit", "--config", "fit.yaml", shell=closed, cwd=tmp_path, PYTHONPATH=ROOT)[0] == 0
    assert list(tmp_path.rglob("done"))


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param("<&-", marks=pytest.mark.slow),
        pytest.param(">&-", marks=pytest.mark.slow),
        pytest.param("2>&-", marks=pytest.mark.slow),
        "<&- >&- 2>&-",
    ],
)
def test_outputs_can_be_closed(closed, finished):
    code, out, err = process("report", "--out", finished, shell=closed)
    assert (code, err) == (0, "")
    assert out == ("" if ">&- " in f"{closed} " and closed != "2>&-" else f"page: {finished}/report/index.html\n")


@pytest.mark.parametrize("command", ["status", "list", "--help", "report --help"])
def test_a_full_output_is_one_line_and_exit_code_2(command, finished):
    arguments = [*command.split(), *(["--out", finished] if command == "status" else [])]
    assert process(*arguments, shell=">/dev/full") == (2, "", "study: error: output: No space left on device\n")


def test_a_mistake_is_exit_code_2_where_it_cannot_be_said(tmp_path):
    assert process("status", "--out", tmp_path / "nowhere", shell="2>/dev/full") == (2, "", "")
    assert process("paint", shell="2>/dev/full") == (2, "", "")


ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("encoding", ["POSIX", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ascii", "strict"))])
def test_a_terminal_without_the_letters_shows_them_escaped(encoding, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / ODD)
    code, text, err = process("report", "--out", out, **ENCODINGS[encoding])
    assert (code, err) == (0, "")
    letter = r"\udcc3\udca9" if encoding == "POSIX" else r"\xe9"
    assert text == f"page: {tmp_path}/{SHOWN.replace('é', letter)}/report/index.html\n"


def test_names_are_shown_as_they_are_in_one_line(finished, tmp_path, study, capsys):
    assert study("status", "--out", tmp_path / ODD) == (
        2,
        [f"study: error: {tmp_path}/{SHOWN}: no such folder; give --out the folder of results"],
    )
    out = shutil.copytree(finished, tmp_path / ODD)
    assert cli.main(["run", "flips", "--pairs", "6", "--out", str(out), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith(")") or SHOWN in line for line in lines) >= 17, lines
    assert lines[-1] == f"page: {tmp_path}/{SHOWN}/report/index.html"
    assert not any("\x1b" in line for line in lines)


@pytest.mark.slow
def test_a_name_that_is_not_utf_8_is_honoured(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "n\udcff")
    assert process("claims", "--out", out)[::2] == (0, "")
    code, text, err = process("report", "--out", out)
    assert (code, text, err) == (0, f"page: {tmp_path}/n\\udcff/report/index.html\n", "")
    assert (out / "report" / "index.html").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["claims"], *(pytest.param(a, marks=pytest.mark.slow) for a in (["list"], ["status", "--help"], ["report"]))],
)
def test_python_without_docstrings_and_asserts_says_the_same(arguments, finished):
    arguments = [*arguments, *(["--out", finished] if arguments[0] in ("claims", "report") else [])]
    assert process(*arguments, PYTHONOPTIMIZE="2") == process(*arguments)


def test_warnings_that_are_errors_stop_nothing(tmp_path):
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(FIT))
    code, _, err = process("fit", "--config", "fit.yaml", cwd=tmp_path, PYTHONWARNINGS="error")
    assert (code, err) == (0, "")
    assert list(tmp_path.rglob("done"))


@pytest.mark.parametrize("module", ["json", "jsonargparse", "study.files", "numpy", "at exit"])
def test_an_early_or_late_ctrl_c_is_no_traceback(module, finished, tmp_path):
    """It comes when Python first imports the module, or at its end."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, signal, sys\n"
        "def interrupt(event='import', arguments=['at exit']):\n"
        f"    if event == 'import' and arguments[0] == {module!r} and 'study' in sys.modules:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "sys.addaudithook(interrupt)\n"
        "atexit.register(interrupt)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    code, _, err = process("claims", "--out", finished, PYTHONPATH=path)
    assert code in (-signal.SIGINT, 128 + signal.SIGINT), err
    assert err in ("", "study: interrupted by SIGINT; the same command begins anew\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "found an empty name; give . for"),
        ("~/x", "found ~/x, which the shell has not expanded"),
        ("file", "no such folder"),
        ("fifo", "no such folder"),
        ("/dev/null", "no such folder"),
    ],
)
def test_what_is_no_folder_is_refused(given, said, tmp_path, monkeypatch, study):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    os.mkfifo("fifo")
    code, lines = study("status", "--out", given)
    assert (code, len(lines)) == (2, 1) and said in lines[0], lines


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "found an empty name"),
        ("~/x", "has not expanded"),
        ("file", "study: error: file/flips"),
        ("fifo", "study: error: fifo/flips"),
        ("/dev/null", "study: error: /dev/null/flips"),
        ("l" * 300, "File name too long"),
        ("l/" * 3000, "File name too long"),
    ],
)
def test_results_need_a_folder(given, said, tmp_path, monkeypatch, study):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    os.mkfifo("fifo")
    code, lines = study("run", "flips", "--pairs", "1", "--out", given, "--device", "cpu")
    assert (code, len(lines)) == (2, 1) and said in lines[0], lines
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "file"]


def test_the_path_of_a_folder_can_lead_up(finished, tmp_path, monkeypatch, study):
    monkeypatch.chdir(finished.parent)
    assert study("report", "--out", "runs/../runs") == (0, [])


@pytest.mark.slow
def test_a_closed_terminal_ends_a_training_with_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(FIT)
    config["data"]["init_args"] |= {"updates": 40_000, "chunk": 5}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "study", "fit", "--config", "run.yaml"]
    child, terminal = pty.fork()
    if not child:
        # Executes at once: a copy of this process, threads and all, would not do.
        os.execve(sys.executable, command, os.environ | {"PYTHONPATH": ROOT})
    while not list(tmp_path.rglob("last.ckpt")):
        assert os.waitpid(child, os.WNOHANG) == (0, 0), os.read(terminal, 10_000)
        time.sleep(0.05)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    assert not list(tmp_path.rglob("done"))


def test_a_training_started_by_nohup_outlives_its_terminal(fit, tmp_path, monkeypatch):
    saved = Checkpoint.on_train_batch_end

    def closing(self, trainer, *arguments):
        saved(self, trainer, *arguments)
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(Checkpoint, "on_train_batch_end", closing)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert fit() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert list(tmp_path.rglob("done"))
