"""The process of a SLURM job: does the runs of its array task one after the other.

    python -m study.launch.job FOLDER      <FOLDER>/<task>.json: the orders

A job of several processes shares the runs among them; each process uses one of its node's GPUs.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from study.files import write
from study.running.signals import Preempted, caught, requeue
from study.terminal import say


def main(folder: Path) -> int:
    with caught():
        try:
            return work(json.loads((folder / f"{os.environ['SLURM_ARRAY_TASK_ID']}.json").read_text()))
        except Preempted as stop:
            say(stop)
            requeue(stop.number)
            return 128 + stop.number


def work(orders: list[dict]) -> int:
    """Do this process's share; what fails is written into the run's folder. Returns the exit code."""
    # Popped, as Lightning would else take the processes for the ranks of one training, and let only the first write.
    rank, local_rank, processes = (int(os.environ.pop(name)) for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if len(gpus) > 1:  # else SLURM has bound this process to its own
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[local_rank]
    from study.launch.order import carry_out, resumes
    from study.launch.release import released
    from study.running.failed import failure

    share, worked = orders[rank::processes], False
    places = [Path(order["folder"]) for order in share]
    for order, place in zip(share, places, strict=True):
        if (place / "done").exists() or (place / "failed.json").exists():
            continue  # before this job was requeued
        try:
            with released():
                failed = carry_out(order)
        except Preempted as stop:
            if worked or resumes(order) or stop.number != signal.SIGUSR2:
                raise
            # It had all of the job's time, and would have no more after requeueing.
            reason = f"{order['name']}: takes longer than the job's time, and has no checkpoint; give a longer --timeout"
            note(failure(ValueError(reason)), place)
            if order is not share[-1]:
                raise
        else:
            if failed:
                note(failed, place)
        worked = True
    return int(any((place / "failed.json").exists() for place in places))


def note(failed: dict[str, Any], place: Path) -> None:
    """Say why a run cannot be finished, in the log, and in its folder where it has not done so itself."""
    say(f"stopped: {failed['reason']}")
    if not (place / "failed.json").exists():
        write(place / "failed.json", json.dumps(failed, indent=1))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
