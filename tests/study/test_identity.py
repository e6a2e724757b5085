"""A result is that of its data, its code and its configuration: an old one is never taken for another's."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import noisy
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import study as package
from datamodules import SourcePairs
from study import cli
from study.experiments.linear import training
from study.launch.order import carry_out, order
from study.running import checkpoint, inputs, provenance
from study.running.checkpoint import Checkpoint
from study.running.failed import failed, write_failure
from study.running.training import Training


@pytest.fixture
def fit(tmp_path, monkeypatch, capsys, study):
    """Trains by `study fit` in an empty folder; gives the folder of the run and what was printed, or the error's lines."""
    monkeypatch.chdir(tmp_path)

    def fit(config, *arguments):
        Path("run.yaml").write_text(yaml.safe_dump(config))
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            said: list[str] = []
            patch.setattr("builtins.print", lambda *parts, **_: said.append(" ".join(map(str, parts))))
            code, _ = study("fit", "--config", "run.yaml", *arguments)
        lines = "\n".join(said).splitlines()
        return (tmp_path / lines[-1].removeprefix("run: "), lines) if code == 0 else (code, lines)

    return fit


def linear(lr=0.05, **data):
    return {
        "trainer": {"accelerator": "cpu"},
        "model": {
            "encoder": {"class_path": "models.MLP", "init_args": {"inputs": 2, "hidden": [2], "features": 2}},
            "objective": {"class_path": "models.StopGradient"},
            "lr": lr,
        },
        "data": {
            "class_path": "datamodules.GaussianPairs",
            "init_args": {"lam": [1.0, 0.5], "rho": [0.4, 0.9], "updates": 40, "chunk": 4, "batch": 8, **data},
        },
    }


def pictures(root):
    made = linear()
    made["model"]["encoder"]["init_args"]["inputs"] = 48
    made["data"] = noisy.config("folder", root=root, size=4, directions=2, updates=4, chunk=2, batch=4)
    return made


def test_other_pictures_under_the_same_path_are_another_run(images, fit):
    first, lines = fit(pictures(images))
    assert lines[-2] == "trained"
    again, lines = fit(pictures(images))
    assert again == first and lines[-2].startswith("kept from 20")
    one = images / "0" / "0.png"
    content, times = one.read_bytes(), one.stat()
    Image.fromarray(np.full((4, 4, 3), 7, dtype=np.uint8)).save(one)
    other, lines = fit(pictures(images))
    assert other != first and lines[-2] == "trained"
    one.write_bytes(content)
    os.utime(one, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fit(pictures(images))[0] == first, "the same pictures are the same run"
    (images / "0" / "0.png").rename(images / "1" / "0.png")
    assert fit(pictures(images))[0] not in (first, other), "a picture in another class"


def test_content_is_read_again_only_where_it_looks_changed(images, tmp_path):
    files = sorted(images.rglob("*.png"))
    for path in files:
        os.utime(path, (1e9, 1e9))
    first = inputs.fingerprint(files)
    time.sleep(inputs.SETTLED + 0.1)  # until a change would show in the times
    assert inputs.fingerprint(files) == first
    reads = []
    with pytest.MonkeyPatch.context() as patch:
        digest = hashlib.file_digest
        patch.setattr(hashlib, "file_digest", lambda file, name: reads.append(file.name) or digest(file, name))
        assert inputs.fingerprint(files) == first
        assert not reads
        content, times = files[3].read_bytes(), files[3].stat()
        files[3].write_bytes(bytes([content[0] ^ 1]) + content[1:])
        os.utime(files[3], ns=(times.st_atime_ns, times.st_mtime_ns))
        assert inputs.fingerprint(files) != first, "of the same name, size and time"
        assert len(reads) == len(files)


def test_content_is_the_same_with_and_without_what_is_kept(images, monkeypatch, tmp_path):
    files = sorted(images.rglob("*.png"))
    first = inputs.fingerprint(files)
    monkeypatch.chdir(tmp_path)
    relative = [path.relative_to(tmp_path) for path in files]
    assert inputs.fingerprint(relative) == first
    monkeypatch.setattr(inputs.own, "folder", lambda: None)
    assert inputs.fingerprint(relative) == inputs.fingerprint(files) == first


def test_pictures_that_change_while_a_run_begins_are_noticed(images, monkeypatch, runs):
    setup = SourcePairs.setup

    def changing(self, stage=None):
        setup(self, stage)
        Image.fromarray(np.full((4, 4, 3), 7, dtype=np.uint8)).save(images / "0" / "0.png")

    monkeypatch.setattr(SourcePairs, "setup", changing)
    with pytest.raises(ValueError, match="changed while they were read"):
        Training("fit", "run", pictures(images)).execute(runs)
    assert not runs.exists()


OBSERVER = """
from study.observers import Health
import {helper}

class Mine(Health):
    def measure(self, learner, data, last):
        return {{"mine": {helper}.value(learner)}}
"""
HELPER = "def value(learner):\n    return learner.predictor.weight.sum((1, 2)) * {factor}\n"


@pytest.mark.parametrize("changed", ["observer", "helper"])
def test_edited_code_of_the_users_is_another_run(changed, fit, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    name, helper = f"observer_{changed}", f"helper_{changed}"
    config = linear()
    config["trainer"]["callbacks"] = [{"class_path": f"{name}.Mine", "init_args": {"every": 4}}]

    def write(which="", factor=1):
        (tmp_path / f"{name}.py").write_text(OBSERVER.format(helper=helper) + ("# edited\n" if which == "observer" else ""))
        (tmp_path / f"{helper}.py").write_text(HELPER.format(factor=factor))
        for module in (name, helper):  # as another process would
            sys.modules.pop(module, None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)

    write()
    first, _ = fit(config)
    assert fit(config)[0] == first
    write(changed, 1 if changed == "observer" else 2)
    other, lines = fit(config)
    assert other != first and lines[-2] == "trained"
    assert json.loads((other / "provenance.json").read_text())["inputs"].keys() == {f"class {name}.Mine"}
    write()
    assert fit(config)[0] == first


def interrupted(out, monkeypatch, lr=0.05):
    """A run that ended without warning after its second checkpoint; its folder."""
    save = Checkpoint.save

    def die(self, trainer):
        save(self, trainer)
        if self.path.with_name("previous.ckpt").exists():
            raise KeyboardInterrupt

    run = Training("fit", "run", linear(lr))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", die)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run.execute(out)
    return run.folder(out)


def test_a_run_says_where_it_went_on(runs, monkeypatch):
    interrupted(runs, monkeypatch)
    assert Training("fit", "run", linear()).execute(runs).origin == "resumed from update 20"
    assert Training("fit", "run", linear()).execute(runs).origin.startswith("kept from 20")


def test_threads_are_recorded_and_a_change_of_them_is_said(runs, monkeypatch, capsys):
    threads = torch.get_num_threads()
    interrupted(runs, monkeypatch)
    try:
        torch.set_num_threads(threads + 1)
        resumed = Training("fit", "run", linear()).execute(runs)
        said = f"was begun with {threads} threads and goes on with {threads + 1}"
        assert said in capsys.readouterr().err
        assert resumed.provenance["threads"] == [threads, threads + 1]
        torch.set_num_threads(threads)
        kept = Training("fit", "run", linear()).execute(runs)
        assert kept.origin.endswith(f", made with {threads} and {threads + 1} threads")
    finally:
        torch.set_num_threads(threads)


def exchange(a, b):
    a.rename(a.with_name("between"))
    b.rename(a)
    a.with_name("between").rename(b)


def test_finished_runs_in_each_others_folders_are_refused(execution, runs, study):
    record = execution(runs, 0)
    first, second, *_ = (record.parent / run for run in json.loads(record.read_text())["runs"].values())
    exchange(first, second)
    for command in ("claims", "report"):
        code, (line,) = study(command, "--out", runs)
        assert code == 2 and "give the folder its name back" in line and (first.name in line or second.name in line)
    exchange(first, second)
    assert study("report", "--out", runs)[0] == 0


def test_a_checkpoint_is_resumed_by_its_own_run_alone(runs, monkeypatch, study):
    first, second = (interrupted(runs, monkeypatch, lr) for lr in (0.05, 0.02))
    exchange(first, second)
    for lr in (0.05, 0.02):
        with pytest.raises(ValueError, match=r"expected a checkpoint of .*give the folders their names back"):
            Training("fit", "run", linear(lr)).execute(runs)
    assert not list(runs.rglob("done"))
    code, (line,) = study("probe", first / "checkpoints" / "last.ckpt")
    assert code == 2 and second.name in line
    exchange(first, second)
    assert Training("fit", "run", linear()).execute(runs).origin == "resumed from update 20"


def test_a_table_in_another_runs_folder_is_refused(execution, runs, study):
    """With checksums made right by hand."""
    record = execution(runs, 0)
    first, second, *_ = (record.parent / run for run in json.loads(record.read_text())["runs"].values())
    shutil.copy(second / "metrics.parquet", first / "metrics.parquet")
    done = json.loads((first / "done").read_text())
    done["sha256"]["metrics.parquet"] = json.loads((second / "done").read_text())["sha256"]["metrics.parquet"]
    (first / "done").write_text(json.dumps(done))
    code, (line,) = study("claims", "--out", runs)
    assert code == 2 and f"expected rows of {first.name}, found those of ['{second.name}']" in line


def test_who_lost_the_lock_writes_nothing_more(runs, monkeypatch):
    """The file is deleted by hand, and another process begins the run."""
    save = Checkpoint.save

    def lose(self, trainer):
        if self.path.exists():
            (self.run / "lock").unlink()
            (self.run / "lock").touch()
        save(self, trainer)

    run = training("test", "r", "jepa", "cpu", [[1.0, 0.5]], [[0.4, 0.9]], 2, 0.1, [0], [0.05], 4, 10)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", lose)
        with pytest.raises(ValueError, match="lock: deleted while this process was doing the run"):
            run.execute(runs)
    folder = run.folder(runs)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    assert not (folder / "done").exists()
    assert run.execute(runs).origin == "resumed from update 12"


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_lock_is_named_and_not_waited_for(kind, runs, study, capsys):
    folder = Training("fit", "run", linear()).folder(runs)
    folder.mkdir(parents=True)
    (os.mkfifo if kind == "pipe" else os.mkdir)(folder / "lock")
    with pytest.raises(ValueError, match="lock: expected a file, found a folder, pipe"):
        Training("fit", "run", linear()).execute(runs)
    assert cli.main(["status", "--out", str(runs)]) == 0
    assert "lock: expected a file" in capsys.readouterr().out


@pytest.fixture
def checkout(tmp_path):
    """A copy of the program in a folder of a foreign repository, as a virtual environment has it; the commit of that one."""
    root = tmp_path / "foreign"
    inside = root / ".venv" / "lib" / "site-packages"
    inside.mkdir(parents=True)
    for name in ("study", "models", "datamodules"):
        shutil.copytree(Path(package.__path__[0]).parent / name, inside / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "file").touch()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", root]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "foreign"], check=True)
    return root, inside


def said_commit(root, **environment):
    """What a process that has the program from this folder says of its commit."""
    command = [sys.executable, "-c", "from study.running.provenance import commit; print(commit())"]
    return subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)} | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_provenance_names_this_program_and_no_repository_around_it(checkout):
    root, inside = checkout
    assert said_commit(inside) == "version 0.1.0, not from a checkout"
    mine = Path(package.__path__[0]).parent
    if not (mine / ".git").exists():
        pytest.skip("this program is not run from a checkout")
    expected = subprocess.run(
        ["git", "-C", mine, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert said_commit(mine, GIT_DIR=str(root / ".git")).removesuffix("+") == expected


@pytest.mark.parametrize("bad", ["sleep 600\n", "exit 1\n", None], ids=["hangs", "fails", "may not be executed"])
def test_a_git_that_does_not_answer_ends_no_training(bad, runs, tmp_path, monkeypatch):
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\n{bad or ''}")
    git.chmod(0o755 if bad else 0o644)
    monkeypatch.setenv("PATH", str(git.parent) if bad is None else f"{git.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "PATIENCE", 0.3)
    provenance.commit.cache_clear()
    try:
        made = Training("fit", "run", linear()).execute(runs).provenance["commit"]
    finally:
        provenance.commit.cache_clear()
    assert made.startswith("version 0.1.0, ")


def test_a_checkpoint_of_who_lost_the_lock_while_it_was_written_is_not_put_in_place(runs, monkeypatch):
    """The other process has begun the run between the two looks at the lock; each writes a file of its own name."""
    flush = checkpoint.flush

    def lose(path):
        flush(path)
        if path.suffix == ".partial":
            written.append(path.name)
            if len(written) == 2:
                (path.parents[1] / "lock").unlink()
                (path.parents[1] / "lock").touch()

    written = []
    run = Training("fit", "run", linear())
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "flush", lose)
        with pytest.raises(ValueError, match="lock: deleted while this process was doing the run"):
            run.execute(runs)
    assert len(set(written)) == 2
    assert [path.name for path in (run.folder(runs) / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_kept_run_says_which_other_version_made_it(runs, monkeypatch):
    run = Training("fit", "run", linear())
    made = run.execute(runs).provenance["commit"]
    assert made not in run.execute(runs).origin
    monkeypatch.setattr(provenance, "commit", lambda: "another")
    assert run.execute(runs).origin.endswith(f", by {made}, and this is another")


def test_a_process_that_finds_another_identity_does_not_do_the_run(runs):
    run = Training("fit", "run", linear())
    folder = run.folder(runs)
    failed = carry_out(order(run, runs, folder.with_name("run-0123456789ab"), "", splitting=False))
    assert f"{folder.name}: expected run-0123456789ab" in failed["reason"] and not runs.exists()
    assert carry_out(order(run, runs, folder, "", splitting=False)) is None and (folder / "done").exists()


def test_a_class_that_is_installed_is_known_by_its_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs.sysconfig, "get_path", lambda place: str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "installed_by_hand.py"
    sources = []
    for value in (1, 2):
        source.write_text(f"class Mine:\n    value = {value}\n")
        sys.modules.pop("installed_by_hand", None)
        sources += inputs.code({"class_path": "installed_by_hand.Mine"}).values()
    assert sources[0] != sources[1]


def test_what_a_killed_process_left_half_written_is_removed(runs):
    run = Training("fit", "run", linear())
    left = run.folder(runs) / "checkpoints" / "last.ckpt.0.partial"
    left.parent.mkdir(parents=True)
    left.touch()
    run.execute(runs)
    assert not left.exists()


def test_the_reason_of_a_failure_stays_until_the_run_goes_on(runs, monkeypatch):
    folder = interrupted(runs, monkeypatch)
    write_failure(folder, ValueError("so it was"))
    for path in (folder / "checkpoints").iterdir():
        path.write_bytes(b"damaged" * 100)
    with pytest.raises(ValueError, match="Nothing can be resumed"):
        Training("fit", "run", linear()).execute(runs)
    assert failed(folder)["reason"] == "so it was"
