"""`study fit`, `show`, `probe` and `clean` on small runs, and what `study run` says of its runs."""

import os
import pty
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy import stats

from study import cli
from study.console import Console
from study.experiments import EXPERIMENTS
from study.launch.progress import Progress, duration
from study.report import page
from study.running.result import Result
from study.running.training import Training
from study.terminal import announce

ROOT = Path(__file__).parents[2]


def config(seeds=(0, 1), updates=8, **source):
    probe = {"class_path": "study.observers.Probe", "init_args": {"every": 4, "train": 100, "validation": 30, "test": 50}}
    encoder = {"inputs": 48, "hidden": [], "features": 4, "seeds": list(seeds)}
    data = {
        "source": {"class_path": "datamodules.sources.Builtin", "init_args": {"size": 4, **source}},
        "noise": {"class_path": "datamodules.noise.Distractor", "init_args": {"directions": 2}},
        "count": 300, "updates": updates, "chunk": 2, "batch": 8, "seeds": list(seeds),
    }  # fmt: skip
    return {
        "trainer": {"accelerator": "cpu", "callbacks": [probe]},
        "model": {
            "encoder": {"class_path": "models.MLP", "init_args": encoder},
            "objective": {"class_path": "models.StopGradient"},
            "lr": 1e-4,
        },
        "data": {"class_path": "datamodules.SourcePairs", "init_args": data},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with runs of two networks and of one."""
    root = tmp_path_factory.mktemp("trained")
    for name, seeds in (("two", (0, 1)), ("one", (0,))):
        (root / f"{name}.yaml").write_text(yaml.safe_dump(config(seeds)))
        assert cli.main(["fit", "--config", f"{root}/{name}.yaml", "--out", f"{root}/runs", "--name", name]) == 0
    return root / "runs"


@pytest.fixture
def made(trained, tmp_path, monkeypatch):
    """A copy of them, and where it lies the working directory."""
    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def run_of(out, name):
    (found,) = out.glob(f"fit/{name}-*")
    return found


def interrupted(out):
    """A run that is not finished, with a checkpoint."""
    folder = shutil.copytree(run_of(out, "two"), out / "fit" / "interrupted-0123456789ab")
    (folder / "done").unlink()
    return folder


def test_a_fit_lies_where_it_was_told_and_says_what_it_read(tmp_path, monkeypatch, study, capsys):
    monkeypatch.chdir(tmp_path)
    announce.cache_clear()
    Path("run.yaml").write_text(yaml.safe_dump(config()))
    assert cli.main(["fit", "--name=mine", "--config", "run.yaml", "--out", "there"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "data: Builtin: 240 training, 60 validation, 300 test pairs of 3 x 4 x 4 numbers, 10 classes"
    assert (second, third) == ("trained", f"run: {run_of(Path('there'), 'mine')}")
    assert not {"out", "name"} & yaml.safe_load((run_of(Path("there"), "mine") / "config.yaml").read_text()).keys()
    code, lines = study("fit", "--config", "run.yaml", "--name", "../up")
    assert code == 2 and len(lines) == 1 and "--name: expected the name of a folder" in lines[0]


def test_a_fit_is_shown_on_the_page_by_its_name(made, study):
    assert study("report") == (0, [])
    assert run_of(made, "two").name in (made / "report" / "experiments" / "fit.html").read_text()


def test_a_resume_says_from_which_update_of_how_many(tmp_path, monkeypatch, capsys):
    from study.observers import Probe

    run, measure = Training("fit", "run", config()), Probe.measure

    def stop(self, learner, data, last):
        if last:
            raise ArithmeticError("stopped")
        return measure(self, learner, data, last)

    monkeypatch.setattr(Probe, "measure", stop)
    with pytest.raises(ArithmeticError):
        run.execute(tmp_path)
    monkeypatch.setattr(Probe, "measure", measure)
    capsys.readouterr()
    assert run.execute(tmp_path).origin == "resumed from update 6"
    assert f"{run.folder(tmp_path).name}: resumed from update 6 of 8\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_progress_counts_updates(colour, tmp_path):
    """Of a training of 5,000 updates in chunks of 2."""
    asked = config(updates=5000)
    asked["trainer"]["callbacks"] = []
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(asked))
    terminal, end = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"} | ({} if colour else {"NO_COLOR": "1"})
    command = [sys.executable, "-m", "study", "fit", "--config", "run.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=end) as process:
        os.close(end)
        shown = b""
        try:
            while part := os.read(terminal, 10_000):
                shown += part
        except OSError:  # the other end is closed
            pass
    os.close(terminal)
    assert process.returncode == 0, shown
    text = shown.decode()
    done = [int(found.replace(",", "")) for found in re.findall(r"([\d,]+) of 5,000 updates", text)]
    assert done == sorted(done) and len(set(done)) > 1 and all(update % 2 == 0 for update in done)
    assert bool(re.search(r"\x1b\[[\d;]*3[\d;]*m", text)) == colour


def test_show_prints_what_a_run_is_and_what_it_measured(made, study, capsys):
    folder = run_of(made, "two")
    assert cli.main(["show", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"run: {folder}  done\ncommand: study")
    assert "made: trained, finished 20" in text and "  lr: 0.0001" in text
    values = Result(folder).rows("loss")
    (line,) = [line for line in text.splitlines() if line.startswith("  loss ")]
    low, high = stats.t.interval(0.95, 1, np.mean(values.value[-2:]), stats.sem(values.value[-2:]))
    assert line.split(maxsplit=1)[1] == f"{np.mean(values.value[-2:]):.4g} [{low:.4g}, {high:.4g}], n = 2, at 8"
    assert f"{folder}/metrics.parquet" in text and f"{folder}/checkpoints/last.ckpt" in text


def test_show_of_an_unfinished_run_has_no_metrics_and_of_none_one_line(made, study, capsys):
    folder = interrupted(made)
    assert cli.main(["show", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"run: {folder}  failed ended before it was done\n") and "metrics at the end" not in text
    for nothing in ("runs", "runs/fit", "nowhere", str(folder / "checkpoints")):
        code, lines = study("show", nothing)
        assert code == 2 and len(lines) == 1 and "no run there; give a folder such as" in lines[0], lines
    (run_of(made, "one") / "metrics.parquet").write_bytes(b"x")
    code, lines = study("show", run_of(made, "one"))
    assert code == 2 and len(lines) == 1 and "metrics.parquet: damaged" in lines[0]


def test_clean_removes_checkpoints_of_finished_runs_alone(made, study, capsys):
    unfinished, folder = interrupted(made), run_of(made, "two")
    damaged = shutil.copytree(folder, made / "fit" / "other-0123456789ab")
    (folder / "checkpoints" / "probe.csv").write_text("kept")
    kept = {path: path.read_bytes() for path in made.rglob("*") if path.is_file() and path.suffix != ".ckpt"}
    size = sum(path.stat().st_size for name in ("two", "one") for path in run_of(made, name).rglob("*.ckpt"))
    code, lines = study("clean", "--out", made)
    assert (
        code == 2 and lines[-1] == "study: error: the input is no terminal, so nobody can be asked; give --yes to remove them"
    )
    assert all((run_of(made, name) / "checkpoints" / "last.ckpt").exists() for name in ("two", "one"))
    assert cli.main(["clean", "--out", str(made), "--yes"]) == 0
    out, err = capsys.readouterr()
    assert f"removed: 4 checkpoints of 2 finished runs, {size / 1e6:.1f} MB\n" in out
    assert f"{damaged}: left as it is" in err
    assert {path.parents[1] for path in made.rglob("*.ckpt")} == {unfinished, damaged}
    assert kept == {path: path.read_bytes() for path in made.rglob("*") if path.is_file() and path.suffix != ".ckpt"}
    code, lines = study("probe", folder)
    assert code == 2 and len(lines) == 1 and "no checkpoint in it" in lines[0]


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("YES", True), ("n", False), ("", False), (EOFError, False)])
def test_clean_asks(answer, removed, made, monkeypatch, capsys):
    def asked(question):
        if answer is EOFError:
            raise EOFError
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", asked)
    assert cli.main(["clean"]) == 0
    assert (capsys.readouterr().out.splitlines()[-1] == "nothing is removed") != removed
    assert bool(list(made.rglob("*.ckpt"))) != removed


def test_a_probe_of_a_run_has_intervals_counts_and_chance(made, study, capsys):
    folder = run_of(made, "two")
    assert cli.main(["probe", str(folder), "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    table = pd.read_csv(folder / "checkpoints" / "probe.csv")
    assert set(table["noise"]) == {"noisy"} and set(table["data"]) == {"Builtin"} and set(table["samples"]) == {300}
    assert table["chance"].iloc[0] == pytest.approx(0.1)
    assert "noisy samples of Builtin: 240 train, 60 validation, 300 test samples of 10 classes" in text
    assert "95 % intervals over 2 networks" in text and "Always the most frequent class: 10.0 %." in text
    whole = table[table["labels"] == 240]
    for row in whole.itertuples():
        bounds = stats.binomtest(round(row.test * 300), 300).proportion_ci(0.95, "exact")
        assert (row.sample_low, row.sample_high) == pytest.approx((bounds.low, bounds.high))
    assert table[table["labels"] == 100]["sample_low"].isna().all()


def test_of_one_network_a_probe_shows_the_interval_of_its_test_samples(made, capsys):
    assert cli.main(["probe", str(run_of(made, "one")), "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    table = pd.read_csv(run_of(made, "one") / "checkpoints" / "probe.csv")
    row = table[(table["encoder"] == "online") & (table["tap"] == "features") & (table["labels"] == 240)].iloc[0]
    assert f"test {100 * row['test']:.1f} [{100 * row['sample_low']:.1f}, {100 * row['sample_high']:.1f}] %" in " ".join(
        text.split()
    )
    assert "over 300 test samples of one network (exact binomial)" in " ".join(text.split())


def test_other_samples_and_clean_ones_have_tables_of_their_own(made, study):
    folder = run_of(made, "two")
    for kind in ("a", "b"):
        draw = np.random.default_rng(len(kind) + ord(kind))
        for i in range(60):
            path = Path(kind, "set", str(i % 2), f"{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    tables = {}
    asked = {
        "probe": [], "probe-clean": ["--clean"], "probe-builtin-clean": ["builtin", "--clean"], "probe-set": ["a/set"],
        "probe-set-2": ["b/set"],
    }  # fmt: skip
    for name, arguments in asked.items():
        assert study("probe", folder, *arguments, "--device", "cpu")[0] == 0
        assert {path.stem for path in folder.glob("checkpoints/*.csv")} == {*tables, name}
        tables[name] = (folder / "checkpoints" / f"{name}.csv").read_bytes()
    assert study("probe", folder, "a/set", "--device", "cpu")[0] == 0
    assert {path.stem: path.read_bytes() for path in folder.glob("checkpoints/*.csv")} == tables, "the same again is no other"
    noisy, clean = (pd.read_csv(folder / "checkpoints" / f"{name}.csv") for name in ("probe", "probe-clean"))
    assert (set(noisy["noise"]), set(clean["noise"])) == ({"noisy"}, {"clean"})
    raw = [table[table["encoder"] == "pixels"]["test"].tolist() for table in (noisy, clean)]
    assert raw[0] != raw[1]


def test_a_probe_on_what_is_no_data_is_one_line(made, study):
    folder = run_of(made, "two")
    for arguments, says in {
        ("nowhere",): "nowhere: found no such folder or file; expected a folder of pictures",
        ("cifar10",): "images cifar10 need root; give --root",
        (): "--root and --download belong to another image source",
        (".",): ": no images",
    }.items():
        code, lines = study("probe", folder, *arguments, *([] if arguments else ["--root", "x"]))
        assert code == 2 and says in lines[-1], lines


def test_a_probe_can_be_read_on_a_terminal_of_40_columns(made, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.main(["probe", str(run_of(made, "two")), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in lines if line.startswith("  ")) and not any("…" in line for line in lines)
    assert "online features" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("environment", "between"),
    [pytest.param({"LC_ALL": "C"}, "±", marks=pytest.mark.slow), ({"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, "+-")],
)
def test_a_probe_can_be_read_in_a_locale_that_is_not_utf_8_and_through_a_pipe(environment, between, made):
    command = [sys.executable, "-m", "study", "probe", run_of(made, "two"), "--device", "cpu", "--out", "probes"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True)
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert (
        re.search(rf"240 labels: test \d+\.\d {re.escape(between)} \d+\.\d %", text)
        and "\\x" not in text
        and "\x1b" not in text
    )


def test_the_page_can_be_asked_for_while_runs_are_written(made):
    """By another thread, over and over, while trainings begin, write and end in the same folder."""
    interrupted(made)
    failures, over = [], threading.Event()

    def publish():
        while not over.is_set():
            try:
                page.publish(made)
            except Exception as error:
                failures.append(error)
                return

    asking = threading.Thread(target=publish)
    asking.start()
    try:
        for seed in range(4):
            Training("fit", "later", config((seed,))).execute(made)
    finally:
        over.set()
        asking.join()
    assert not failures
    page.publish(made)
    text = (made / "report" / "experiments" / "fit.html").read_text()
    assert text.count("later-") >= 4


COUNTS = {"forecast": 24 + 16 * 24, "masks": 12 + 16 * 12, "learning_curves": 4}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_with_its_defaults_has_the_runs_and_the_time_that_the_list_says(name):
    kind = EXPERIMENTS[name]
    assert kind().run_count() == COUNTS.get(name) or kind.expected.startswith(f"{kind().run_count()} run")
    assert kind().expected_seconds() == pytest.approx(60 * kind.minutes)
    minutes = [int(found) for found in re.findall(r"(\d+)(?= to \d+ min| min)", kind.expected)]
    assert min(minutes) <= kind.minutes <= 1.3 * max(minutes)


@pytest.mark.parametrize(
    ("name", "options", "runs", "share"),
    [
        ("dynamics", {"depths": (1,)}, 2, 1 / 4),
        ("pixels", {"seeds": 10}, 8, 14 / 9),
        ("pixels", {"updates": 120}, 8, 1 / 10),
        ("networks", {"networks": ("mlp",), "methods": ("vicreg", "mae")}, 4, None),
        ("forecast", {"cells": 2, "networks": ("linear",)}, 18, 1 / 24),
    ],
)
def test_runs_and_time_are_those_of_what_was_asked(name, options, runs, share):
    asked = EXPERIMENTS[name](**options)
    assert asked.run_count() == runs
    whole = EXPERIMENTS[name]().expected_seconds()
    assert asked.expected_seconds() < whole / 5 if share is None else asked.expected_seconds() == pytest.approx(share * whole)


def test_time_left_is_that_of_the_runs_that_are_made_and_kept_ones_do_not_count(made, monkeypatch, capsys):
    times = iter([0.0, 30.0, 120.0])
    monkeypatch.setattr("study.launch.progress.time.monotonic", lambda: next(times))
    kept, new = Result(run_of(made, "one"), kept=True), Result(run_of(made, "two"))
    progress = Progress(Console(), 4, 600.0)
    progress.begin("x on cpu")
    progress.expect(2)
    progress.end("a", 0.0, kept)
    progress.end("b", 30.0, new)
    progress.expect(3)
    progress.end("c", 90.0, new)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header == "x on cpu: 4 runs, about 10 min on 2 cores"
    assert "1 of 4" in lines[0] and "kept from 20" in lines[0] and not lines[0].endswith("left)")
    assert "2 of 5" not in lines[1] and lines[1].endswith("(about 60 s left)") and "trained" in lines[1]
    assert "3 of 5" in lines[2] and lines[2].endswith("(about 2 min left)")
    assert [duration(s) for s in (0.2, 89, 90, 5399, 5400)] == ["1 s", "89 s", "2 min", "90 min", "1.5 hours"]


PICTURES = Path("pictures")
EXAMPLES = {
    "gaussian": [], "images": [], "mae": [], "teacher": [],
    "folder": ["--data.init_args.count", "200"],
    "series": [],
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_trains(name, tmp_path, monkeypatch, study):
    """As it stands, for a few updates, with the data of a user's own that two of them name."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    np.save("series.npy", draw.normal(size=(4000, 2)).cumsum(0).astype(np.float32) / 30)
    for i in range(80 if name == "folder" else 0):
        path = PICTURES / str(i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(path)
    options = ["--data.init_args.updates", "4", "--data.init_args.chunk", "2", *EXAMPLES[name]]
    if name in ("images", "mae", "teacher"):
        options += ["--data.init_args.count", "400"]
    code, lines = study("fit", "--config", ROOT / "examples" / f"{name}.yaml", "--trainer.accelerator", "cpu", *options)
    assert code == 0, lines
    assert Result(run_of(Path("runs"), "run")).rows("loss").step.max() == 4


def test_every_example_is_tried_and_says_what_its_lines_mean():
    files = sorted((ROOT / "examples").glob("*.yaml"))
    assert {path.stem for path in files} == set(EXAMPLES)
    for path in files:
        lines = path.read_text().splitlines()
        assert sum("#" in line for line in lines) >= 8 and len(lines) <= 65 and max(map(len, lines)) <= 128
        assert f"study fit --config examples/{path.name}" in path.read_text()
