"""Finished runs without the time it takes to do them, and a real SLURM of two nodes on this machine: its own daemons, ports and
folder, which end with the tests of a module."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from study import cli, outside
from study.experiments import flips
from study.experiments.linear import FRACTION, HALF
from study.launch import store
from study.running.run import begun, finish
from study.theory import exact

PACKAGES = ["slurmctld", "slurmd", "slurm-client"]
NODES = ("n1", "n2")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
PlugStackConfig={folder}/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=10000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=2
CompleteWait=0
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 State=UNKNOWN
PartitionName=low  Nodes=ALL Default=YES DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=ALL DefaultTime=10 PriorityTier=10 PreemptMode=OFF
"""


def install() -> None:
    """Install the packages, or skip the test with the reason."""
    if shutil.which("slurmctld") and shutil.which("slurmd") and shutil.which("sbatch"):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip(
            f"needs SLURM: install {' '.join(PACKAGES)}; here they are missing, and only root can install them by apt-get"
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: packages do not start their daemons
    get = ["apt-get", "install", "-qq", "--no-install-recommends", *PACKAGES]
    for command in (get, ["apt-get", "update", "-qq"], get):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if command is get and done.returncode == 0:
            return
    pytest.skip(f"needs SLURM, and apt-get cannot install it here: {done.stderr.strip()}")


class Slurm:
    """The daemons. Commands find them by SLURM_CONF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [found.getsockname()[1] for found in sockets]
        for found in sockets:
            found.close()
        (folder / "state").mkdir(parents=True)
        (folder / "plugstack.conf").touch()
        self.configuration = folder / "slurm.conf"
        user, host = psutil.Process().username(), socket.gethostname().split(".")[0]
        self.configuration.write_text(CONFIGURATION.format(folder=folder, ports=ports, user=user, host=host))

    def start(self) -> None:
        self.start_controller()
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
            subprocess.run(["slurmd", "-f", self.configuration, "-N", node], check=True)
        self.until(lambda: ask("sinfo", "--noheader", "--Node", "--partition=low", "--states=idle").count("\n") == len(NODES))

    def start_controller(self) -> None:
        subprocess.run(["slurmctld", "-f", self.configuration], check=True)

    def restart_controller(self) -> None:
        """Until the nodes have registered with it again: before, it refuses jobs for them."""
        self.stop("slurmctld")
        self.start_controller()
        up = "--states=idle,alloc,mix,completing"
        self.until(
            lambda: ask("sinfo", "--noheader", "--Node", "--partition=low", "--responding", up).count("\n") == len(NODES)
        )

    def stop(self, daemon: str) -> None:
        path = self.folder / f"{daemon}.pid"
        if path.exists() and psutil.pid_exists(number := int(path.read_text())):
            os.kill(number, signal.SIGTERM)
            psutil.Process(number).wait(30)

    def stop_all(self) -> None:
        if (self.folder / "slurmctld.pid").exists():
            subprocess.run(["scancel", "--me"], check=True)
            self.until(lambda: not ask("squeue", "--noheader"))
        for node in NODES:
            self.stop(f"slurmd-{node}")
        self.stop("slurmctld")

    def until(self, true, seconds: float = 60) -> None:
        """Wait for a condition."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, (ask("squeue"), (self.folder / "slurmctld.log").read_text()[-3000:])
            time.sleep(0.1)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A SLURM that answers; skips the test where it cannot be installed."""
    install()
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(made.configuration))
        try:
            made.start()
            yield made
        finally:
            made.stop_all()


def execute(out, seed, early=1.0, pairs=6, **options):
    """One execution of `flips` as its runs would have left it if networks followed theory, but for a feature a that is `early`
    by a factor. Returns its record."""
    experiment = flips.Flips(pairs=pairs, seed=seed, **options)
    results = {}
    for (role, run), depth in zip(next(experiment.plan()).items(), np.repeat(flips.DEPTHS, 2), strict=True):
        config = run.resolved()
        lam, rho = experiment.features()
        times = exact.critical_time(role.split("-")[0], lam, rho, int(depth), experiment.eps, FRACTION) / (early, 1.0)
        metrics = {
            "feature-{}/lam": lam,
            "feature-{}/rho": rho,
            "linear/gain/{}": rho**depth,
            f"linear/crossing/{HALF}/{{}}": times,
        }
        frame = pd.DataFrame(
            {"network": n, "step": 100, "time": times.max(), "metric": metric.format(i), "value": values[n, i]}
            for metric, values in metrics.items()
            for i in range(2)
            for n in range(pairs)
        )
        path = run.folder(out)
        with begun(path, config):
            results[role] = finish(path, frame, torch.device("cpu"), "study run flips", 0.5, "integrated")
    store.record(experiment, results, out, f"study run flips --pairs {pairs} --seed {seed}", 8.0)
    return store.place(experiment, out)


@pytest.fixture(scope="session")
def execution():
    return execute


@pytest.fixture
def study(capsys):
    """Runs a command in this process; gives its exit code and the lines on stderr. Any exception is a failure of the test."""

    def run(*arguments):
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err.splitlines()

    return run


@pytest.fixture
def forget(monkeypatch):
    """Forgets what was imported from files, as another process would know nothing of it; so does the test's end."""
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.setattr(sys, "path", list(path))

    def forget():
        for name in set(sys.modules) - before:
            if name.startswith("file_") or "pytest" in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        sys.path[:] = path
        outside.files.clear()

    yield forget
    forget()


def browser_here() -> str:
    """Debian's chromium; skips the tests with a reason where it cannot be installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("needs chromium; here it is missing, and only root can install it by apt-get")
    get = ["apt-get", "install", "-qq", "--no-install-recommends", "chromium"]
    for command in (get, ["apt-get", "update", "-qq"], get):
        done = subprocess.run(command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True)
        if command is get and done.returncode == 0:
            return shutil.which("chromium") or ""
    pytest.skip(f"needs chromium, and apt-get cannot install it here: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_here(), args=["--no-sandbox"])
        yield browser
        browser.close()
