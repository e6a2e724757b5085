"""Finished runs without the time it takes to do them."""

import numpy as np
import pandas as pd
import pytest
import torch

from study.experiments import flips
from study.experiments.linear import FRACTION, HALF
from study.running import store
from study.running.run import begun, finish
from study.theory import exact


def execute(out, seed, early=1.0):
    """One execution of `flips` as its runs would have left it if networks followed theory, but for a feature a that is `early`
    by a factor. Returns its record."""
    experiment = flips.Flips(pairs=6, seed=seed)
    results = {}
    for (role, run), depth in zip(next(experiment.plan()).items(), np.repeat(flips.DEPTHS, 2), strict=True):
        config = run.resolved()
        lam, rho = experiment.features()
        times = exact.critical_time(config["objective"], lam, rho, int(depth), experiment.eps, FRACTION) / (early, 1.0)
        metrics = {"feature-{}/lam": lam, "feature-{}/rho": rho, "gain/{}": rho**depth, f"crossing/{HALF}/{{}}": times}
        frame = pd.DataFrame(
            {"network": n, "step": 100, "time": times.max(), "metric": metric.format(i), "value": values[n, i]}
            for metric, values in metrics.items()
            for i in range(2)
            for n in range(6)
        )
        path = run.folder(out, config)
        with begun(path, config):
            results[role] = finish(path, frame, torch.device("cpu"), "study run flips", 0.5)
    store.record(experiment, results, out, f"study run flips --pairs 6 --seed {seed}", 8.0)
    return store.place(experiment, out)


@pytest.fixture(scope="session")
def execution():
    return execute
