"""Launchers: batches in this process or in a pool, status, cancel, the options of a cluster, and what they refuse."""

import errno
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from rich.console import Console

from study import cli
from study.commands import run as run_command
from study.experiments.linear import training
from study.launch import local, pool, slurm, status
from study.launch.cluster import Cluster
from study.launch.local import Local
from study.launch.order import CARRY_OUT, carry_out, order
from study.launch.progress import Progress
from study.observers.loss import Diverged
from study.running import scheduler
from study.running.failed import error_of, write_failure
from study.running.lock import Owner, locked, owner
from study.running.training import Training

PLACES = [{"OMP_NUM_THREADS": "1"}] * 2


def run(name, lr=0.05, measurements=10):
    return training("test", name, "mae", "cpu", [[1.0, 0.5]], [[0.4, 0.9]], 2, 0.1, [0], [lr], 4, measurements)


def main(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def silent(batch):
    return Progress(Console(quiet=True), len(batch))


def test_a_pool_gives_the_results_of_one_process(runs, monkeypatch):
    batch = {"a": run("a"), "b": run("b", 500.0, 100), "c": run("c", 0.02)}
    here = Local().launch(batch, runs / "here", "test", silent(batch), cores=1_000)
    assert isinstance(here["b"], Diverged)
    assert set(here) == {"a", "b"}, "one process stops at the first that diverges"
    monkeypatch.setattr(local, "places", lambda device, cores: PLACES)
    pooled = Local().launch(batch, runs / "pool", "test", silent(batch), cores=1)
    assert list(pooled) == ["a", "b", "c"]
    assert (pooled["b"].update, pooled["b"].network, pooled["b"].lr) == (here["b"].update, 0, 500.0)
    for role in ("a", "c"):
        whole = batch[role].execute(runs / "here")
        assert pooled[role].path.name == whole.path.name
        pd.testing.assert_frame_equal(pooled[role].table, whole.table, check_exact=True)


@pytest.mark.slow
def test_a_pool_that_loses_a_process_ends_the_others(runs):
    """15 s: python -m pytest tests/study/test_launchers.py -k loses"""
    batch = {"a": run("a", measurements=100_000), "b": run("b", measurements=2000)}
    folders = {name: made.folder(runs) for name, made in batch.items()}
    orders = {name: order(made, runs, folders[name], "test", False) for name, made in batch.items()}

    def kill():
        while not (owner(folders["a"]) and (folders["b"] / "checkpoints" / "last.ckpt").exists()):
            time.sleep(0.05)
        os.kill(owner(folders["a"]).process, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ChildProcessError, match="a: its process ended with exit code -9"):
        list(pool.pool(orders, PLACES, CARRY_OUT))
    thread.join()
    assert not any(owner(folder) for folder in folders.values())
    assert not (folders["b"] / "done").exists()
    assert (folders["b"] / "checkpoints" / "previous.ckpt").exists(), "ended by SIGTERM, with a second checkpoint"


@pytest.mark.parametrize(("lr", "kind"), [(500.0, Diverged), (0.05, ValueError)])
def test_what_fails_elsewhere_is_raised_here(runs, lr, kind):
    made = run("a", lr, 100)
    asked = json.loads(json.dumps(order(made, runs, made.folder(runs), "test", False)))
    if kind is ValueError:
        asked["config"]["data"]["init_args"]["batch"] = -1
    with pytest.raises(kind) as here:
        Training("test", "a", asked["config"]).execute(runs / "here")
    found = error_of(json.loads(json.dumps(carry_out(asked))))
    assert (type(found), str(found), vars(found)) == (kind, str(here.value), vars(here.value))


def test_an_experiments_folder_can_be_a_link(runs, tmp_path):
    (tmp_path / "disk").mkdir()
    runs.mkdir(exist_ok=True)
    (runs / "test").symlink_to(tmp_path / "disk")
    made = run("a")
    assert carry_out(order(made, runs, made.folder(runs), "test", False)) is None
    assert (made.folder(runs) / "done").exists()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [made.folder(runs).name]


def test_what_the_system_refuses_elsewhere_is_raised_here(runs, monkeypatch):
    made = run("a")

    def execute(self, out, command):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), Path("runs/last.ckpt"))

    monkeypatch.setattr(Training, "execute", execute)
    found = error_of(json.loads(json.dumps(carry_out(order(made, runs, made.folder(runs), "test", False)))))
    assert (type(found), found.strerror, found.filename) == (OSError, os.strerror(errno.ENOSPC), "runs/last.ckpt")


def test_a_process_that_dies_before_its_order_is_named(monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(ChildProcessError, match="a: its process ended with exit code 1 before it was done"):
        list(pool.pool({"a": {"much": "x" * 2**20}}, PLACES[:1], CARRY_OUT))


def test_a_process_that_misses_its_signal_ends_with_its_order(tmp_path, monkeypatch):
    """A signal may come where an exception is lost, or just before the process waits for its next order."""
    (tmp_path / "stubborn.py").write_text(
        "import pathlib, time\n"
        "def carry_out(order):\n"
        "    try:\n"
        "        pathlib.Path(order['begun']).touch()\n"
        "        time.sleep(order['seconds'])\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    orders = {name: {"begun": str(tmp_path / name), "seconds": seconds} for name, seconds in (("short", 0), ("long", 60))}
    answers = pool.pool(orders, PLACES, "stubborn:carry_out")
    assert next(answers)[0] == "short"
    while not (tmp_path / "long").exists():
        time.sleep(0.01)
    answers.close()


def test_a_reader_that_goes_away_is_no_error():
    console_script = [sys.executable, "-c", "import sys; from study import cli; sys.exit(cli.main())", "list"]
    with subprocess.Popen(console_script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 128 + signal.SIGPIPE


@pytest.fixture
def campaign(runs, monkeypatch):
    """Runs in every state; in the queue of a scheduler that is not there."""
    queue = {}

    def add(name, *, task=None, **files):
        folder = runs / "test" / f"{name}-00000000"
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        if task is not None:
            log = runs / "jobs" / "array" / f"{task}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("first\nslurmstepd: error: out of memory\n\n")
            (folder / "job.json").write_text(json.dumps({"array": "array", "task": task}))
        return folder

    (add("finished") / "done").touch()
    add("interrupted")
    write_failure(add("diverged"), Diverged(8, 0, 3.0))
    add("killed", task=0)
    for task, (name, state, where) in enumerate([("waiting", "PENDING", "Resources"), ("working", "RUNNING", "n1")], start=1):
        add(name, task=task)
        queue["array", task] = scheduler.Entry(f"7_{task}", state, where)
    write_failure(add("first-of-two", task=2), ValueError("impossible"))
    (runs / "report").mkdir()
    (runs / "test" / "figures-0").mkdir()
    monkeypatch.setattr(scheduler, "tasks", lambda: queue)
    return runs


def test_status_tells_every_state(campaign, capsys):
    assert main("status", "--out", campaign) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "failed   test/diverged-00000000  loss of network 0 (lr 3) is not finite after update 8; lower its learning rate",
        "done     test/finished-00000000",
        f"failed   test/first-of-two-00000000  impossible; last line of {campaign}/jobs/array/2.log: slurmstepd: error: out of memory",
        "failed   test/interrupted-00000000  ended before it was done",
        f"failed   test/killed-00000000  ended before it was done; last line of {campaign}/jobs/array/0.log: slurmstepd: error: out of memory",
        "queued   test/waiting-00000000  job 7_1 pending: Resources",
        "running  test/working-00000000  job 7_2 running: n1",
        "1 queued, 1 running, 1 done, 4 failed, 0 unknown",
    ]  # fmt: skip
    assert main("status", "other", "--out", campaign) == 2
    assert capsys.readouterr().err == f"study: error: {campaign}: no runs of 'other'; there are runs of: test\n"


def test_a_run_of_a_tuning_has_its_log_where_all_have_theirs(campaign, capsys):
    (campaign / "test" / "tuning").mkdir()
    (campaign / "test" / "killed-00000000").rename(campaign / "test" / "tuning" / "killed-00000000")
    assert main("status", "--out", campaign) == 0
    out = capsys.readouterr().out
    assert (
        f"failed   test/tuning/killed-00000000  ended before it was done; last line of {campaign}/jobs/array/0.log: slurm"
        in out
    )
    assert "1 queued, 1 running, 1 done, 4 failed, 0 unknown" in out


@pytest.mark.parametrize("name", ["job.json", "failed.json"])
@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_status_of_a_damaged_run_names_the_file(campaign, name, content, capsys):
    path = campaign / "test" / "waiting-00000000" / name
    path.write_text(content)
    assert main("status", "--out", campaign) == 0
    out = capsys.readouterr().out
    assert f"failed   test/waiting-00000000  {path}: damaged, " in out
    assert "0 queued, 1 running, 1 done, 5 failed, 0 unknown" in out


def test_only_what_the_scheduler_says_is_asked_again(campaign):
    folder = campaign / "test" / "waiting-00000000"
    (folder / "job.json").write_text("{")
    with pytest.raises(ValueError, match=r"job\.json: damaged"):
        slurm.wait({"waiting": folder}, silent({"waiting": folder}))


def test_a_name_that_leads_elsewhere_is_refused(campaign):
    folder = campaign / "test" / "waiting-00000000"
    (folder / "job.json").write_text('{"array": "../..", "task": 1}')
    with pytest.raises(ValueError, match="without a path"):
        scheduler.job_of(folder)


def test_the_seconds_of_a_damaged_run_name_the_file(tmp_path):
    (tmp_path / "provenance.json").write_text("[]")
    with pytest.raises(ValueError, match=r"provenance\.json: damaged, expected seconds"):
        slurm.seconds_of(tmp_path)


def test_the_end_of_a_long_log_is_enough(tmp_path):
    log = tmp_path / "0.log"
    log.write_text("first\n" * 10_000 + "é" * scheduler.TAIL + "\nlast\n\n")
    assert scheduler.Job("array", 0, log).last_words() == "last"


def test_a_queue_that_cannot_be_asked_is_said_so(campaign, monkeypatch, capsys):
    def refuse():
        raise scheduler.Refused("no squeue")

    monkeypatch.setattr(scheduler, "tasks", refuse)
    assert main("status", "--out", campaign) == 0
    out = capsys.readouterr().out
    assert "unknown  test/waiting-00000000  queue unknown: no squeue" in out
    assert "0 queued, 0 running, 1 done, 3 failed, 3 unknown" in out
    assert main("cancel", "--out", campaign) == 1
    streams = capsys.readouterr()
    assert "study: test/working-00000000: queue unknown: no squeue\n" in streams.err
    assert streams.out == "0 runs cancelled\n"


def test_the_scheduler_is_read_and_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    squeue, sbatch = tmp_path / "squeue", tmp_path / "sbatch"
    squeue.write_text("#!/bin/sh\nprintf '7|0|RUNNING|n1|None|study-a\\n8|N/A|PENDING||Priority|my|job\\n'\n")
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    squeue.chmod(0o755)
    sbatch.chmod(0o755)
    assert scheduler.tasks() == {("study-a", 0): scheduler.Entry("7_0", "RUNNING", "n1")}
    with pytest.raises(scheduler.Refused, match=r"^sbatch: invalid partition$"):
        scheduler.command("sbatch")


HOLD = "import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_DFL); from pathlib import Path; from study.running.lock import locked\nwith locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"


def test_cancel_ends_jobs_and_processes(campaign, monkeypatch, capsys):
    ended: set[str] = set()
    monkeypatch.setattr(scheduler, "cancel", ended.update)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, campaign / "test" / "interrupted-00000000"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert main("status", "--out", campaign) == 0
        assert f"running  test/interrupted-00000000  process {process.pid} on " in capsys.readouterr().out
        assert main("cancel", "test", "--out", campaign) == 0
        assert process.wait(10) == -signal.SIGINT
    assert ended == {"7_1", "7_2"}
    assert "3 runs cancelled" in capsys.readouterr().out


SLEEP = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); time.sleep(600)",
]


@pytest.fixture
def stranger():
    """A process that has nothing to do with us, and what a lock would say of it."""
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = psutil.Process(process.pid)
        yield process, Owner.here()._replace(process=process.pid, started=found.create_time(), command=found.cmdline())
        process.kill()


OTHERS = {
    "a number that was given to another process since": ({"started": 1.0}, False),
    "a number that another command has": ({"command": ["study", "run", "pixels"]}, False),
    "another container of the same host name": ({"system": "another"}, True),
    "another machine": ({"host": "another"}, True),
}


@pytest.mark.parametrize("case", OTHERS)
def test_cancel_never_ends_a_stranger(case, stranger):
    process, known = stranger
    changes, said = OTHERS[case]
    beyond = status.cancel([status.Row("test/r", "running", str(known), process=known._replace(**changes))])
    assert beyond == [f"test/r: cannot end process {process.pid} on {known.host} from here; give the command there"] * said
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    assert status.cancel([status.Row("test/r", "running", str(known), process=known)]) == []
    assert process.wait(10) == -signal.SIGINT or process.returncode == 1


def test_cancel_of_what_has_ended_or_is_anothers(stranger, monkeypatch):
    process, known = stranger
    row = status.Row("test/r", "running", str(known), process=known)

    def refuse(*_):
        raise psutil.AccessDenied

    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "send_signal", refuse)
        assert status.cancel([row]) == [f"test/r: cannot end process {process.pid} on {known.host}, which is another user's"]
    process.kill()
    process.wait()
    assert status.cancel([row]) == []


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    (tmp_path / "lock").touch()

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(ValueError, match="has no locks"), locked(tmp_path):
        pass
    with pytest.raises(ValueError, match="has no locks"):
        owner(tmp_path)


def test_a_lock_can_be_looked_at_while_it_is_taken(tmp_path):
    """Looking never takes what a run needs."""
    assert owner(tmp_path) is None
    looking = "import sys; from pathlib import Path; from study.running.lock import owner\nwhile True: owner(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", looking, tmp_path]) as process:
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                with locked(tmp_path):
                    pass
        finally:
            process.kill()


def test_status_of_ten_thousand_finished_runs(tmp_path):
    for number in range(10_000):
        folder = tmp_path / "runs" / "test" / f"run-{number:08x}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        (folder / "done").touch()
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30,) * 2); from study import cli; cli.main(['status'])"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 5
    assert done.stdout.splitlines()[-1] == "0 queued, 0 running, 10,000 done, 0 failed, 0 unknown"


def test_the_command_line_goes_before_the_file(tmp_path, monkeypatch):
    path = tmp_path / "cluster.yaml"
    path.write_text("partition: low\ntimeout: 30\nsetup: [module load cuda]\nsbatch: {mem: 4G}\n")
    asked = []
    monkeypatch.setattr(run_command, "run", lambda wanted, out, device, launcher, logging: asked.append(launcher))
    monkeypatch.setattr(slurm, "check_installed", lambda: None)
    command = ["run", "dynamics", "--launcher", "slurm", "--timeout", "60", "--cluster", path, "--gpus-per-node", "2"]
    assert main(*command, "--runs-per-job", "8") == 0
    expected = Cluster("low", None, 60, 1, 2, 256, 8, ["module load cuda"], {"mem": "4G"})
    assert asked[0].cluster == expected
    assert asked[0].device("auto") == "cuda"


BAD = {
    "unknown key": (["--launcher", "slurm", "--cluster", "typo.yaml"], "typo.yaml: found partitoin, expected a mapping with keys among partition,"),
    "wrong value": (["--launcher", "slurm", "--cluster", "type.yaml"], "type.yaml: "),
    "no mapping": (["--launcher", "slurm", "--cluster", "list.yaml"], "expected a mapping"),
    "no file": (["--launcher", "slurm", "--cluster", "nowhere.yaml"], "nowhere.yaml: no such file"),
    "too small": (["--launcher", "slurm", "--runs-per-job", "0"], "runs_per_job must be at least 1, found 0"),
    "no effect": (["--partition", "low"], "give --launcher slurm"),
    "no sbatch": (["--launcher", "slurm"], "needs the command sbatch"),
    "no GPU": (["--launcher", "slurm", "--device", "cuda"], "give --gpus-per-node 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, monkeypatch, capsys):
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    Path("typo.yaml").write_text("partitoin: low\n")
    Path("type.yaml").write_text("nodes: many\n")
    Path("list.yaml").write_text("- partition\n")
    Path("bin").mkdir()
    if case == "no GPU":
        Path("bin/sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert main("run", "dynamics", *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("study: error: ") and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_submitit_is_named_where_it_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main("run", "dynamics", "--launcher", "slurm") == 2
    assert "install it by: pip install submitit" in capsys.readouterr().err


def test_the_documents_commands_are_understood(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    (block,) = re.findall("```yaml\n(.*?)```", text, re.DOTALL)
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("study ")]
    assert {command[1] for command in commands} == {"run", "status", "cancel"}
    monkeypatch.chdir(tmp_path)
    Path("cluster.yaml").write_text(block)
    Path("runs/flips").mkdir(parents=True)
    asked = []
    monkeypatch.setattr(run_command, "run", lambda wanted, out, device, launcher, logging: asked.append(launcher.cluster))
    monkeypatch.setattr(slurm, "check_installed", lambda: None)
    assert [main(*command[1:]) for command in commands] == [0] * len(commands)
    assert asked[1] == Cluster(**yaml.safe_load(block))
