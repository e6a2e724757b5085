"""Runs as jobs of a SLURM cluster: one job array for each batch of runs."""

import json
import os
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study.console import Console
from study.launch.cluster import Cluster
from study.launch.launcher import Launcher
from study.launch.order import order
from study.launch.pool import environment
from study.launch.progress import Progress
from study.observers.loss import Diverged
from study.running import scheduler
from study.running.failed import error_of, failed
from study.running.result import Result
from study.running.run import Run, identity, read, stored, write

Queue = Mapping[tuple[str, int], scheduler.Entry]
SHORTEST, LONGEST = 1.0, 15.0  # seconds between two looks at the queue


def check_installed() -> None:
    """Raises ValueError: what submitting needs is missing; names it and the command that installs it."""
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise ValueError("--launcher slurm needs the package submitit; install it by: pip install submitit") from error
    if shutil.which("sbatch") is None:
        raise ValueError(
            "--launcher slurm needs the command sbatch, which this machine has not; work on a login node of the cluster, or "
            "install SLURM's client by: apt-get install slurm-client"
        )


@dataclass(frozen=True)
class Slurm(Launcher):
    """A SLURM cluster.

    Args:
        cluster: what is asked for every job.
    """

    cluster: Cluster = field(default_factory=Cluster)

    def device(self, choice: str) -> str:
        if choice == "cuda" and not self.cluster.gpus_per_node:
            raise ValueError("device cuda was asked for, but no GPU of the cluster; give --gpus-per-node 1 or more")
        return ("cuda" if self.cluster.gpus_per_node else "cpu") if choice == "auto" else choice

    def launch(
        self, batch: Mapping[str, Run], out: Path, command: str, progress: Progress, cores: int
    ) -> dict[str, Result | Diverged]:
        """Raises ValueError also where SLURM refuses the jobs, in its words. Jobs that are in the queue already, submitted by a
        process that ended since, are waited for and not submitted again. The cluster's own options give the cores."""
        folders = {role: run.folder(out) for role, run in batch.items()}
        waiting = {}
        for role, folder in folders.items():
            if result := stored(folder):
                progress.end(role, 0.0, result)
            else:
                waiting[role] = folder
        if waiting:
            queue = settled(waiting, progress.console)
            waiting = {role: folder for role, folder in waiting.items() if not (folder / "done").exists()}  # meanwhile
            gone = [role for role, folder in waiting.items() if not in_queue(folder, queue)]
            if gone:
                orders = [order(batch[role], Path(out), folders[role], command, self.splitting) for role in gone]
                self.submit(orders, Path(out).resolve() / "jobs", progress.console)
            wait(waiting, progress)
        outcomes = {role: outcome(role, folder) for role, folder in folders.items()}
        for found in outcomes.values():
            if not isinstance(found, Result | Diverged):
                raise found
        return outcomes  # type: ignore[return-value]

    def submit(self, orders: list[dict[str, Any]], jobs: Path, console: Console) -> None:
        """Submit one array for these orders, under a name that follows from them; its files lie in <jobs>/<name>."""
        name = f"study-{identity({'folders': [made['folder'] for made in orders]})}"
        place, size = jobs / name, self.cluster.runs_per_job
        shares = [orders[first : first + size] for first in range(0, len(orders), size)]
        script = script_of(self.cluster, name, place, len(shares))
        scheduler.command("sbatch", "--test-only", given=script)  # what it refuses leaves no trace
        place.mkdir(parents=True, exist_ok=True)
        write(place / "array.sh", script)
        for task, share in enumerate(shares):
            write(place / f"{task}.json", json.dumps(share))
            for folder in (Path(made["folder"]) for made in share):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "failed.json").unlink(missing_ok=True)
                # Before submitting: whatever ends this process then, the jobs can be found.
                write(folder / "job.json", json.dumps({"array": name, "task": task}))
        number = scheduler.command("sbatch", "--parsable", given=script).strip()
        console.print(f"  job array {number}: {len(orders)} runs in {len(shares)} jobs, logs in {place}")


def script_of(cluster: Cluster, name: str, place: Path, tasks: int) -> str:
    """The batch script of an array of this many tasks."""
    import submitit

    executor = submitit.SlurmExecutor(place)
    executor.update_parameters(
        job_name=name,
        partition=cluster.partition,
        account=cluster.account,
        time=cluster.timeout,
        nodes=cluster.nodes,
        ntasks_per_node=max(1, cluster.gpus_per_node),
        gpus_per_node=cluster.gpus_per_node or None,
        array_parallelism=cluster.array_parallelism,
        setup=cluster.setup,
        signal_delay_s=90 if cluster.timeout is None else min(90, 30 * cluster.timeout),  # SIGUSR2, so long before the end
        use_srun=False,
        stderr_to_stdout=True,
        additional_parameters={"output": str(place / "%a.log"), "requeue": True} | cluster.sbatch,
    )
    executor.parameters["map_count"] = tasks
    # The script alone is submitit's: what it would submit itself hands over a pickled function, and this job reads its orders.
    found = [f"{name}={value}" for name, value in environment().items()]
    job = shlex.join(["env", *found, sys.executable, "-m", "study.launch.job", str(place)])
    return executor._make_submission_file_text(f"srun --unbuffered --cpus-per-task=${{SLURM_CPUS_PER_TASK:-1}} {job}", name)


def in_queue(folder: Path, queue: Queue) -> scheduler.Entry | None:
    job = scheduler.job_of(folder)
    return queue.get(job.key) if job else None


def settled(waiting: Mapping[str, Path], console: Console) -> Queue:
    """The queue, once no job of these runs is COMPLETING: such a job has ended, perhaps before its runs were done."""
    pause = 0.0
    while True:
        queue = scheduler.tasks()
        entries = {role: in_queue(folder, queue) for role, folder in waiting.items()}
        ending = [role for role, entry in entries.items() if entry and entry.state == "COMPLETING"]
        if not ending:
            return queue
        if not pause:
            console.print(f"  waiting for earlier jobs to end: {', '.join(ending)}")
        pause = min(1.5 * pause, LONGEST) or SHORTEST
        time.sleep(pause)


def wait(waiting: Mapping[str, Path], progress: Progress) -> None:
    """Until every run is done, has failed, or is in the queue no more; shows how many are in which state."""
    pause, shown, ended = SHORTEST, "", set[str]()
    while len(ended) < len(waiting):
        try:
            states = look({role: folder for role, folder in waiting.items() if role not in ended})
        except scheduler.Refused as error:  # a scheduler that is started again knows its jobs
            line = f"no answer from SLURM, asking again: {error}"
        else:
            for role in [role for role, state in states.items() if state == "ended"]:
                ended.add(role)
                if (waiting[role] / "done").exists():
                    progress.end(role, seconds_of(waiting[role]), read(waiting[role]))
            counts = Counter(state for state in states.values() if state != "ended")
            line = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        if line and line != shown:
            progress.console.print(f"  {line}; {len(ended)} of {len(waiting)} ended")
        shown, pause = line, min(1.5 * pause, LONGEST)
        if len(ended) < len(waiting):
            time.sleep(pause)


def look(waiting: Mapping[str, Path]) -> dict[str, str]:
    """The state of each run in SLURM's words, or "ended"."""
    queue, states = scheduler.tasks(), {}
    for role, folder in waiting.items():
        files = os.listdir(folder)  # after the queue: what left it has written its files; and this renews what NFS remembers
        entry = in_queue(folder, queue)
        states[role] = "ended" if entry is None or {"done", "failed.json"} & set(files) else entry.state.lower()
    return states


def seconds_of(folder: Path) -> float:
    """How long a run that is done took.

    Raises:
        ValueError: its `provenance.json` is damaged.
    """
    return Result(folder).provenance["seconds"]


def outcome(role: str, folder: Path) -> Result | Exception:
    """What became of a run that ended."""
    if (folder / "done").exists():
        return read(folder)
    if reason := failed(folder):
        return error_of(reason)
    job = scheduler.job_of(folder)
    assert job is not None
    return ChildProcessError(f"{role}: job ended before the run was done; last line of {job.log}: {job.last_words()}")
