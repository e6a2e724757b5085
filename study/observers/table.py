"""The table of a run: every measured value, kept in memory and in the checkpoint. Loggers show some of it."""

from itertools import groupby, takewhile
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from lightning import Callback, Trainer
from torch import Tensor

from study.observers.scalars import PROBE, Scalars

COLUMNS = ["network", "step", "time", "metric", "value"]


class Table(Callback):
    """Rows (network, step, time, metric, value); step counts updates, time is gradient-flow time.

    Args:
        scalars: what loggers are given of them.
    """

    def __init__(self, scalars: Scalars = Scalars()) -> None:  # noqa: B008 - it is never changed
        self.scalars = scalars
        self.blocks: list[dict[str, Any]] = []  # step, time [N], metrics (M names), values [M, N]

    def record(
        self,
        trainer: Trainer,
        step: int,
        time: Float[Tensor, "N"],
        metrics: dict[str, Float[Tensor, "N"]],
        curve: bool = True,
    ) -> None:
        """Append one value per network and metric; constants (`curve` false) are no curves of their own.

        Raises:
            ValueError: a metric has a value of this step already.
        """
        if not metrics:
            return
        for block in reversed(self.blocks):
            if block["step"] != step:
                break
            if twice := metrics.keys() & set(block["metrics"]):
                raise ValueError(
                    f"{min(twice)} was recorded twice after update {step}: two callbacks record the same metric; leave one out"
                )
        # Gathered on the accelerator, where there is one, and copied from there once.
        device = max((v.device for v in metrics.values()), key=lambda d: d.type != "cpu")
        values = torch.stack([v.detach().to(device, torch.float64) for v in metrics.values()]).cpu()
        self.blocks.append({"step": step, "time": time, "metrics": list(metrics), "values": values})
        if not curve:
            return
        first = self.first() if any(map(PROBE.fullmatch, metrics)) else {}  # they stand beside probes alone
        if shown := self.scalars.of(list(metrics), values, first):
            for logger in trainer.loggers:
                logger.log_metrics(shown, step=step)

    def first(self) -> dict[str, Float[Tensor, "N"]]:
        """What was recorded at update 0."""
        blocks = takewhile(lambda block: block["step"] == 0, self.blocks)
        return {name: row for block in blocks for name, row in zip(block["metrics"], block["values"], strict=True)}

    def values(self, metric: str) -> dict[int, Float[Tensor, "N"]]:
        """What was recorded of one metric, by update."""
        found = [b for b in self.blocks if metric in b["metrics"]]
        return {b["step"]: b["values"][b["metrics"].index(metric)] for b in found}

    def frame(self) -> pd.DataFrame:
        """The tidy table, one row per network, step and metric."""
        if not self.blocks:
            return pd.DataFrame(columns=COLUMNS)
        shapes = [b["values"].shape for b in self.blocks]
        columns = {
            "network": [np.tile(np.arange(N), M) for M, N in shapes],
            "step": [np.full(M * N, b["step"]) for b, (M, N) in zip(self.blocks, shapes, strict=True)],
            "time": [np.tile(b["time"].numpy(), M) for b, (M, _) in zip(self.blocks, shapes, strict=True)],
            "metric": [np.repeat(b["metrics"], N) for b, (_, N) in zip(self.blocks, shapes, strict=True)],
            "value": [b["values"].numpy().ravel() for b in self.blocks],
        }
        return pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})

    def state_dict(self) -> dict[str, Any]:
        """Blocks of the same metrics stacked: a few large tensors instead of thousands of small ones."""
        runs = [(names, list(blocks)) for names, blocks in groupby(self.blocks, key=lambda b: b["metrics"])]
        stacked = [
            {"metrics": names, "step": [b["step"] for b in blocks]}
            | {field: torch.stack([b[field] for b in blocks]) for field in ("time", "values")}
            for names, blocks in runs
        ]
        return {"stacked": stacked}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.blocks = [
            {"step": step, "time": time, "metrics": part["metrics"], "values": values}
            for part in state_dict["stacked"]
            for step, time, values in zip(part["step"], part["time"], part["values"], strict=True)
        ]


def table_of(trainer: Trainer) -> Table:
    """The run's table; it is the runner that adds it.

    Raises:
        ValueError: the trainer has no Table among its callbacks.
    """
    found = [c for c in trainer.callbacks if isinstance(c, Table)]  # type: ignore[attr-defined]
    if not found:
        raise ValueError("observers record into a Table; add study.observers.Table to the trainer's callbacks")
    return found[0]
