"""The process of a SLURM job: does the runs of its array task one after the other.

    python -m study.running.job FOLDER      <FOLDER>/<task>.json: the orders

A job of several processes shares the runs among them; each process uses one of its node's GPUs.
"""

import json
import os
import sys
from pathlib import Path

from study.running.signals import Preempted, caught, requeue


def main(folder: Path) -> int:
    with caught():
        try:
            return work(json.loads((folder / f"{os.environ['SLURM_ARRAY_TASK_ID']}.json").read_text()))
        except Preempted as stop:
            print(f"study: {stop}", file=sys.stderr, flush=True)
            requeue()
            return 128 + stop.number


def work(orders: list[dict]) -> int:
    """Do this process's share; what fails is written into the run's folder. Returns the exit code."""
    # Popped, as Lightning would else take the processes for the ranks of one training, and let only the first write.
    rank, local_rank, processes = (int(os.environ.pop(name)) for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"))
    if gpus := os.environ.get("CUDA_VISIBLE_DEVICES"):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.split(",")[local_rank]
    from study.running.order import carry_out
    from study.running.run import write
    from study.running.training import quiet

    quiet()
    failures = 0
    for order in orders[rank::processes]:
        if failed := carry_out(order):
            failures += 1
            print(f"study: stopped: {failed['reason']}", file=sys.stderr, flush=True)
            write(Path(order["folder"]) / "failed.json", json.dumps(failed, indent=1))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
