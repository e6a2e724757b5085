"""An execution of `pixels` as its trainings would have left it, in no time: the numbers of each curve are given."""

import numpy as np
import pandas as pd
import torch

from study.experiments.pixels import Pixels
from study.launch import store
from study.running.run import begun, finish, identity

STEPS = np.arange(0, 1201, 240)
BASELINES = {"probe/random/features/noisy/test": 0.136, "probe/pca/noisy/test": 0.16, "probe/pixels/noisy/test": 0.366}


def table(share, probe, seeds, seed):
    """Metrics of a training that ends with this share and probe."""
    draw, rows = np.random.default_rng(seed), []

    def add(metric, steps, values):
        for step, value in zip(steps, values, strict=True):
            noise = 1 + 0.02 * draw.standard_normal(seeds)
            rows.extend(
                {"network": n, "step": step, "time": float(step), "metric": metric, "value": value * noise[n]}
                for n in range(seeds)
            )

    fading = np.exp(-STEPS / 300)
    curves = {
        "linear/distractor": share + (0.6 - share) * fading,
        "jacobian/distractor": share + (0.6 - share) * fading,
        "probe/online/features/noisy/validation": probe + (0.13 - probe) * fading,
        "loss": 1 + 3 * fading,
        "health/validation-256/rank": 30 - 20 * fading,
        **{f"linear/{what}/{by}": 0.5 - 0.3 * fading for what in ("overlap", "order") for by in ("rho", "lam")},
        **{f"linear/gain/{i}": 0.5 - 0.3 * fading for i in range(3)},
    }
    for metric, values in curves.items():
        add(metric, STEPS, values)
    ends = {
        "probe/online/features/noisy/test": probe,
        "probe/pixels/noisy/validation": 0.36,
        "overlap/chance": 0.02,
        **BASELINES,
    }
    for metric, value in ends.items():
        add(metric, STEPS[-1:], [value])
    return pd.DataFrame(rows)


def execute(out, jepa=(0.014, 0.317), mae=(0.894, 0.211), **options):
    """Write an execution with these shares and probes; returns its record's file."""
    experiment = Pixels(**options)
    plan, results = experiment.plan(), {}
    try:
        orders = next(plan)
        while True:
            for role, run in orders.items():
                share, probe = jepa if "jepa" in role else mae
                folder = out / "pixels" / f"{role}-{identity(run.config)}"
                networks = len(run.config["model"]["encoder"]["init_args"]["seeds"])
                with begun(folder, run.config):
                    frame = table(share, probe, networks, len(results))
                    results[role] = finish(folder, frame, torch.device("cpu"), "study run pixels", 30.0, "trained")
            orders = plan.send(results)
    except StopIteration:
        store.record(experiment, results, out, "study run pixels", 240.0)
    return store.place(experiment, out)
