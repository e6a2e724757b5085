"""Nothing is lost to a full disk, a folder that is read-only, damaged files, a newer version or a clock that runs backwards."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from study import cli
from study.experiments import flips
from study.experiments.linear import training
from study.report import summary
from study.running import store

DAMAGED = ("metrics.parquet", "config.yaml", "provenance.json", "done", "record", "claims.json", "last.ckpt")


def study(*arguments, capsys):
    """Exit code and the lines on stderr; any exception is a failure of the test."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err.splitlines()


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
def test_damage_is_named_and_nothing_else_changes(name, out, capsys):
    """50 damages of each of 7 kinds of files, read by every command that reads them."""
    path, commands = place(out, name)
    content = path.read_bytes()
    baseline = [study(*command, capsys=capsys) for command in commands]
    content, before = path.read_bytes(), checksums(out)
    assert all(code == 0 for code, _ in baseline) or name == "last.ckpt"
    for changed in damaged(content, np.random.default_rng(DAMAGED.index(name))):
        path.write_bytes(changed)
        for command in commands:
            code, lines = study(*command, capsys=capsys)
            assert code in (1, 2), (command, changed)
            assert lines and all(line.startswith("study: ") for line in lines)
            assert str(path) in lines[0]
            assert len(lines) == 1 or name == "claims.json"
        assert checksums(out) == {**before, path: hashlib.sha256(changed).hexdigest()}
    path.write_bytes(content)
    assert [study(*command, capsys=capsys) for command in commands] == baseline
