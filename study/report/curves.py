"""What a run recorded over training, short enough for a page: by metric the updates, and at each the value of every network."""

import math
import re
from typing import Any

import numpy as np

from study.running.result import Result

STEPS, NETWORKS = 40, 8  # at most
NUMBERED = re.compile(r"(^|/)(feature-)?\d+(/|$)")  # of single directions, which figures show


def curves(result: Result) -> dict[str, Any]:
    """A run as the page takes it. Metrics of a single direction are left out, and networks beyond the first few."""
    config = result.config
    model = config.get("model") or {}
    return {
        "name": result.path.name,
        "networks": result.networks,
        "seconds": round(result.provenance["seconds"], 1),
        "finished": result.provenance["finished"],
        "commit": result.provenance["commit"],
        "objective": _class(model.get("objective")),
        "encoder": _class(model.get("encoder")),
        "data": _class(config.get("data")),
        "metrics": {metric: _over_steps(result, metric) for metric in result.metrics if not NUMBERED.search(metric)},
    }


def _over_steps(result: Result, metric: str) -> dict[str, Any]:
    network, step, _, value = result.rows(metric)
    steps = np.unique(step)
    chosen = steps[np.unique(np.linspace(0, len(steps) - 1, STEPS).round().astype(int))]
    networks = np.unique(network)[:NETWORKS]
    found = dict(zip(zip(network.tolist(), step.tolist(), strict=True), value.tolist(), strict=True))
    values = [[_short(found.get((n, s), math.nan)) for s in chosen.tolist()] for n in networks.tolist()]
    return {"step": chosen.tolist(), "values": values}


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _class(config: Any) -> str:
    """Of a part of a configuration the name of its class."""
    path = config.get("class_path", "") if isinstance(config, dict) else ""
    return str(path).rpartition(".")[2]
