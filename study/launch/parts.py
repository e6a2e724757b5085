"""A stack that does not fit into memory, done in parts that do."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from study.observers.loss import Diverged
from study.running.capacity import Need
from study.running.failed import Stalled
from study.running.result import Result
from study.running.run import Run, begun, finish, stored

PER_NETWORK = {"seeds", "eps", "lr", "weight_decay", "kappa", "until", "tau", "head", "perturbation"}
PER_LIST = {"lam", "rho", "signal", "gamma", "noise", "levels"}  # where they are lists of lists


def split(run: Run) -> Run:
    """The run itself where it fits, and otherwise the same run in parts.

    Raises:
        ValueError: not even one network fits.
    """
    need = run.need()
    most = need.most
    if need.networks <= most:
        return run
    if not most:
        need.check()
    # Half of what fits: the memory that is free changes. A power of two of parts, so that a run that is taken up again is
    # likely to find the same parts.
    size = need.networks
    while size > max(1, most // 2):
        size = -(-size // 2)
    return Parts(run.experiment, run.name, run.config, run, size)


@dataclass(frozen=True)
class Parts(Run):
    """A run whose networks are done `size` at a time, as runs of their own. As networks do not know of each other, the
    table is that of the whole stack; so are the run's identity and folder."""

    whole: Run
    size: int

    def resolved(self) -> dict[str, Any]:
        return self.whole.resolved()

    def inputs(self) -> dict[str, str]:
        return self.whole.inputs()

    def folder(self, out: Path, inputs: dict[str, str] | None = None) -> Path:
        return self.whole.folder(out, inputs)

    def need(self) -> Need:
        return self.whole.need()

    def execute(self, out: Path, command: str = "") -> Result:
        config, need, depends = self.resolved(), self.need(), self.inputs()
        path = self.folder(out, depends)
        if done := stored(path):
            return done
        start, tables, origins = time.monotonic(), list[pd.DataFrame](), list[str]()
        for first in range(0, need.networks, self.size):
            last = min(first + self.size, need.networks)
            made = type(self.whole)(self.experiment, f"{self.name}-part-{first}", part(self.config, need.networks, first, last))
            try:
                done = made.execute(out, command)
            except Diverged as stop:
                raise Diverged(stop.update, stop.network + first, stop.lr) from None
            except Stalled as stop:
                raise Stalled(f"in networks {first} to {last - 1}: {stop}", stop.network + first, stop.time) from None
            if need.device == "cuda":
                torch.cuda.empty_cache()
            frame = done.table.drop(columns="run")
            origins.append(done.origin)
            tables.append(frame.assign(network=frame["network"] + first))
        # As the table of the whole stack: networks in order within every row.
        rows = [frame.groupby("network").cumcount() for frame in tables]
        joined = pd.concat([frame.assign(row=row) for frame, row in zip(tables, rows, strict=True)])
        joined = joined.sort_values(["row", "network"], ignore_index=True).drop(columns="row")
        self.check_inputs(depends)
        with begun(path, config):
            if done := stored(path):  # by a process that had the lock until now
                return done
            origin, seconds = f"in {len(tables)} parts: {'; '.join(origins)}", time.monotonic() - start
            return finish(path, joined, torch.device(need.device), command, seconds, origin, depends)


def part(config: dict[str, Any], networks: int, first: int, last: int) -> dict[str, Any]:
    """The configuration of networks `first` to `last` of a stack.

    Raises:
        ValueError: its pairs depend on the number of their data set, so that a part would see others.
    """

    def sliced(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {k: sliced(v, name if name == "levels" else k) for k, v in value.items()}
        many = isinstance(value, list) and len(value) == networks
        if many and (name in PER_NETWORK or (name in PER_LIST and isinstance(value[0], list))):
            return value[first:last]
        return value

    data = config["data"]
    options = data.get("init_args", {})
    if (
        data["class_path"].endswith("GaussianPairs")
        and options.get("batch")
        and isinstance(options["lam"][0], list)
        and networks > 1
    ):
        raise ValueError("minibatches of GaussianPairs with features per network cannot be split; train fewer networks at once")
    return sliced(json.loads(json.dumps(config)), "")
