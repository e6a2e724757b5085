"""Nothing is lost to a full disk, a folder that is read-only, damaged files, a newer version or a clock that runs backwards."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from study.experiments import flips
from study.experiments.linear import training
from study.launch import store
from study.report import summary
from study.running import run
from study.running.checkpoint import Checkpoint
from study.running.training import Training

DAMAGED = ("metrics.parquet", "config.yaml", "provenance.json", "done", "record", "claims.json", "last.ckpt")


def twenty():
    """A short training of 20 networks."""
    return training(
        "fit", "run", "jepa", "cpu", [[1.0, 0.8, 0.5, 0.2]], [[0.4, 0.9, 0.6, 0.7]], 2, 0.1, list(range(20)), [0.05] * 20, 4,
        10, optimizer="adamw",
    ).config  # fmt: skip


def checksums(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, execution):
    """Two executions of four runs and a training with checkpoints, all finished, all claims holding."""
    out = tmp_path_factory.mktemp("whole") / "runs"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flips, "DEPTHS", (1, 2))
        for seed in range(2):
            execution(out, seed)
        store.save_claims(summary.claims(store.records(out)), out)
    training("fit", "run", "jepa", "cpu", [[1.0, 0.5]], [[0.4, 0.9]], 2, 0.1, [0], [0.05], 4, 10, momentum=0.9).execute(out)
    return out


@pytest.fixture
def out(whole, runs, monkeypatch):
    """A copy of it to be damaged."""
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    return Path(shutil.copytree(whole, runs))


def place(out, name):
    """The file to be damaged, and the commands that read it."""
    if name == "claims.json":
        return out / name, [("claims", "--out", out)]
    if name == "last.ckpt":
        path = next(out.glob("fit/*/checkpoints/last.ckpt"))
        return path, [("probe", path)]
    readers = [(command, "--out", out) for command in ("claims", "report")]
    if name == "record":
        return store.place(flips.Flips(pairs=6, seed=1), out), readers
    again = ("run", "flips", "--pairs", "6", "--seed", "1", "--device", "cpu", "--out", out)
    run_of_1 = json.loads(store.place(flips.Flips(pairs=6, seed=1), out).read_text())["runs"]["jepa-L2"]
    return out / "flips" / run_of_1 / name, [*readers, again]


def damaged(content, draw):
    """What truncation, changed bits, blocks of zeros, and loss of the content make of a file: 50 different ones."""
    size, found = len(content), {b""}
    while len(found) < 50:
        changed, at = bytearray(content), int(draw.integers(size))
        match len(found) % 3:
            case 0:
                changed = changed[:at]
            case 1:
                changed[at] ^= 1 << int(draw.integers(8))
            case 2:
                block = changed[at : at + int(draw.integers(1, 512))]
                changed[at : at + len(block)] = bytes(len(block))
        if changed != content:
            found.add(bytes(changed))
    return sorted(found)


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_and_nothing_else_changes(name, out, study):
    """50 damages of each of 7 kinds of files, read by every command that reads them."""
    path, commands = place(out, name)
    content = path.read_bytes()
    baseline = [study(*command) for command in commands]
    content, before = path.read_bytes(), checksums(out)
    assert all(code == 0 for code, _ in baseline) or name == "last.ckpt"
    for changed in damaged(content, np.random.default_rng(DAMAGED.index(name))):
        path.write_bytes(changed)
        for command in commands:
            code, lines = study(*command)
            assert code in (1, 2), (command, changed)
            assert lines and all(line.startswith("study: ") for line in lines)
            assert str(path) in lines[0]
            assert len(lines) == 1 or name == "claims.json"
        assert checksums(out) == {**before, path: hashlib.sha256(changed).hexdigest()}
    path.write_bytes(content)
    assert [study(*command) for command in commands] == baseline


OTHER = {"newer": (1, "update the program to read it"), "older": (-1, "give another --out, and run again")}


@pytest.mark.parametrize("age", OTHER)
@pytest.mark.parametrize("name", ["done", "record"])
def test_results_of_another_version_are_refused(name, age, out, study):
    path, commands = place(out, name)
    by, advice = OTHER[age]
    number = {"done": run.FORMAT, "record": store.FORMAT}[name] + by
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": number, "sha256": ""}))
    for command in commands:
        code, (line,) = study(*command)
        assert code == 2
        assert line.startswith(f"study: error: {path}: its format is {number}, ") and line.endswith(advice)


def test_a_record_that_lacks_a_run_is_named(out, study):
    record = next(out.glob("flips/*.json"))
    content = json.loads(record.read_text())
    del content["runs"]["jepa-L2"], content["sha256"]
    record.write_text(json.dumps(content | {"sha256": store._signed(content)}))
    code, (line,) = study("claims", "--out", out)
    assert code == 2 and line == f"study: error: {record}: its claims cannot be computed: 'jepa-L2'"


@pytest.fixture
def disk(tmp_path):
    """An empty disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk, free):
    """Leave this many bytes of a disk."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    left = os.statvfs(disk).f_bavail * 4096 - free
    filler.write_bytes(bytes(left))


FREE = [4096 * n for n in (0, 1, 2, 3, 4, 8, 16, 28, 48)]


def test_a_full_disk_loses_nothing(disk, out, tmp_path, monkeypatch, study):
    """A training of 20 networks meets the end of the disk at many places; with space again, the same command goes on."""
    monkeypatch.chdir(disk)
    earlier = Path(shutil.copytree(out, disk / "runs"))
    (disk / "run.yaml").write_text(yaml.safe_dump(twenty()))
    whole = Training("fit", "run", twenty()).execute(tmp_path / "whole")
    kept = checksums(earlier)
    failures = 0
    for free in FREE:
        fill(disk, free)
        code, lines = study("fit", "--config", "run.yaml")
        if code == 0:
            break
        failures += 1
        assert code == 2
        assert lines[-1].startswith("study: error: runs/fit/run-") and lines[-1].endswith(": No space left on device")
        assert len([line for line in lines if "is damaged" not in line]) == 1, lines
        assert {p: digest for p, digest in checksums(earlier).items() if p in kept} == kept
        assert not list(disk.rglob("*.partial"))
    assert failures > 5
    (disk / "filler").unlink()
    assert study("fit", "--config", "run.yaml")[0] == 0
    assert not list(disk.rglob("*.partial"))
    resumed = run.read(disk / "runs" / "fit" / whole.path.name)
    pd.testing.assert_frame_equal(resumed.table, whole.table, check_exact=True)


def test_a_full_disk_keeps_claims_and_page(disk, out, study):
    """Claims and page of earlier are whole when new ones cannot be written."""
    earlier = Path(shutil.copytree(out, disk / "runs"))
    assert study("report", "--out", earlier)[0] == 0
    kept = checksums(earlier)
    fill(disk, 0)
    code, (line,) = study("report", "--out", earlier)
    assert code == 2 and line == f"study: error: {earlier / 'report' / 'experiments' / 'flips.html'}: No space left on device"
    command = ("run", "flips", "--pairs", "6", "--seed", "1", "--device", "cpu", "--out", earlier)
    code, (line,) = study(*command)
    assert code == 2 and line.startswith(f"study: error: {earlier / 'flips'}") and line.endswith("No space left on device")
    assert checksums(earlier) == kept
    (disk / "filler").unlink()
    assert study(*command) == (0, [])


def test_results_that_can_only_be_read(disk, out, study):
    """Claims need no place to write; what does says so."""
    earlier = Path(shutil.copytree(out, disk / "runs"))
    shutil.rmtree(earlier / "cache")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    code, (line,) = study("claims", "--out", earlier)
    assert code == 0 and "is not kept" in line and line.endswith("Read-only file system")
    for command in (
        ["report"],
        ["run", "flips", "--pairs", "6", "--seed", "1", "--device", "cpu"],
        ["run", "flips", "--pairs", "7"],
    ):
        code, lines = study(*command, "--out", earlier)
        assert code == 2
        assert lines[-1].startswith(f"study: error: {earlier}") and lines[-1].endswith(": Read-only file system")


def test_the_clock_may_run_backwards(runs, monkeypatch):
    """Neither the clock nor the times of files decide what a run does or gives."""
    whole = Training("fit", "run", twenty()).execute(runs / "whole")
    clock, saved = iter(np.arange(2e9, 0, -3600.0)), Checkpoint.save
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))

    def save(self, trainer):
        saved(self, trainer)
        if self.path.with_name("previous.ckpt").exists():
            raise MemoryError  # ends the process here

    cut = Training("fit", "run", twenty())
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save)
        with pytest.raises(MemoryError):
            cut.execute(runs / "cut")
    (folder,) = runs.glob("cut/fit/*/checkpoints")
    os.utime(folder / "last.ckpt", (0, 0))
    os.utime(folder / "previous.ckpt", (4e9, 4e9))
    resumed = cut.execute(runs / "cut")
    assert resumed.provenance["seconds"] >= 0
    pd.testing.assert_frame_equal(resumed.table, whole.table, check_exact=True)


def test_records_of_any_time_give_the_same_claims(out):
    before = [record.path for record in store.records(out)], summary.claims(store.records(out))
    for i, path in enumerate(sorted(out.rglob("*"))):
        os.utime(path, (i % 3 * 2e9, i % 3 * 2e9))
    assert ([record.path for record in store.records(out)], summary.claims(store.records(out))) == before
