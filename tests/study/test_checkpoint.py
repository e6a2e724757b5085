"""Checkpoints that are damaged, and runs that two processes want."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from study.experiments.linear import training
from study.observers import Table
from study.running.checkpoint import Checkpoint, damage, newest
from study.running.lock import locked


def run():
    return training(
        "test", "r", "jepa", "cpu", [[1.0, 0.5]] * 2, [[0.4, 0.9]] * 2, 2, 0.1, [0, 1], [0.05, 0.02], 4, 10, momentum=0.9
    )


def interrupted(out, monkeypatch):
    """A run that ended without warning after its second checkpoint; its folder of checkpoints."""
    saved = Checkpoint.save

    def save(self, trainer):
        saved(self, trainer)
        if self.path.with_name("previous.ckpt").exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run().execute(out)
    (folder,) = out.glob("test/*/checkpoints")
    return folder


def test_a_damaged_checkpoint_falls_back_to_the_one_before(runs, monkeypatch, capsys):
    whole = run().execute(runs / "whole")
    folder = interrupted(runs / "cut", monkeypatch)
    content = bytearray((folder / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "last.ckpt").write_bytes(content)
    resumed = run().execute(runs / "cut")
    assert "last.ckpt is damaged" in capsys.readouterr().err
    pd.testing.assert_frame_equal(resumed.table, whole.table, check_exact=True)


def test_two_damaged_checkpoints_stop_with_an_error_and_stay(runs, monkeypatch):
    folder = interrupted(runs, monkeypatch)
    for name in ("last.ckpt", "previous.ckpt"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged.*previous\.ckpt is damaged.*Nothing can be resumed"):
        run().execute(runs)
    assert {p.name for p in folder.iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert not list(runs.rglob("done"))


def test_no_damage_goes_unseen(runs, monkeypatch):
    """300 changed bytes and 100 cut ends."""
    folder = interrupted(runs, monkeypatch)
    path, copy = folder / "last.ckpt", folder / "copy"
    content, draw = path.read_bytes(), np.random.default_rng(0)
    bad = [bytearray(content[:n]) for n in draw.integers(0, len(content), 100)]
    for place in draw.integers(0, len(content), 300):
        bad.append(bytearray(content))
        bad[-1][place] ^= int(draw.integers(1, 256))
    for changed in bad:
        copy.write_bytes(changed)
        assert damage(copy.read_bytes())
    assert damage(path.read_bytes()) == ""
    assert torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize(("update", "files"), [(8, 1), (28, 2)])
def test_tensorboard_shows_what_is_logged_again_once(runs, monkeypatch, update, files):
    """Killed before the first checkpoint, and two chunks after one."""
    whole = run().execute(runs / "whole")
    record = Table.record

    def die(self, trainer, step, *rest, **more):
        record(self, trainer, step, *rest, **more)
        if step == update:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Table, "record", die)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run().execute(runs / "cut")
    time.sleep(1)  # files of events are read in the order of their names, which have seconds
    resumed = run().execute(runs / "cut")

    def curves(path):
        """By tag: what TensorBoard shows, and what the files hold."""
        shown, held = (EventAccumulator(str(path), purge_orphaned_data=purge).Reload() for purge in (True, False))
        steps = [{tag: [e.step for e in read.Tensors(tag)] for tag in read.Tags()["tensors"]} for read in (shown, held)]
        steps += [{tag: [e.step for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]} for read in (shown, held)]
        return steps[0] | steps[2], steps[1] | steps[3]

    shown, held = curves(resumed.path)
    assert len(list(resumed.path.glob("events*"))) == files and (shown != held) == (files == 2)
    assert shown == curves(whole.path)[0]
    assert any(tag.startswith("_hparams_") for tag in EventAccumulator(str(resumed.path)).Reload().summary_metadata)


def test_nothing_to_resume(tmp_path):
    assert newest(tmp_path) == (None, "")


HOLD = "import sys, time; from pathlib import Path; from study.running.lock import locked\nwith locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"


def test_a_lock_keeps_others_out_and_dies_with_its_owner(runs):
    folder = run().folder(runs)
    folder.mkdir(parents=True)
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"process {owner.pid} on .* is doing this run"):
            run().execute(runs)
        assert {p.name for p in folder.iterdir()} == {"lock"}
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
    with locked(folder):
        pass
    assert run().execute(runs).path == folder
