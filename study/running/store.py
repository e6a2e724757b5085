"""Records of experiments on disk, and the claims made of them.

<out>/<experiment>/<variant>.json names the options and the runs of one execution of an experiment, so that claims, figures
and the page are made from the tables alone. <out>/claims.json holds the claims as last computed.
"""

import dataclasses
import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from study.experiments import EXPERIMENTS
from study.experiments.base import Claim, Experiment, Results
from study.running.run import Result, identity, write


@dataclass(frozen=True)
class Record:
    """One execution of an experiment, read back: what was asked, what it gave, how long it took."""

    experiment: Experiment
    results: Results
    command: str
    seconds: float
    finished: str
    variant: str  # hash of the options


def _options(experiment: Experiment) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(experiment), default=str))


def record(experiment: Experiment, results: Results, out: Path, command: str, seconds: float) -> None:
    """Write the record; an execution with the same options replaces the older one (and keeps the longer time, since
    finished runs are skipped)."""
    options = _options(experiment)
    path = Path(out) / experiment.name / f"{identity(options)}.json"
    if path.exists():
        seconds = max(seconds, json.loads(path.read_text())["seconds"])
    content = {
        "options": options,
        "runs": {role: result.path.name for role, result in results.items()},
        "command": command,
        "seconds": round(seconds, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    write(path, json.dumps(content, indent=1))


def records(out: Path) -> list[Record]:
    """All executions under `out`, in the order of the experiments' list.

    Raises:
        ValueError: there is none, or a file of one is missing or damaged.
    """
    found = []
    for name, make in EXPERIMENTS.items():
        for path in sorted((Path(out) / name).glob("*.json")):
            try:
                content = json.loads(path.read_text())
                results = {role: _read(path.parent / run) for role, run in content["runs"].items()}
                experiment = make(**content["options"])
                found.append(
                    Record(experiment, results, content["command"], content["seconds"], content["finished"], path.stem)
                )
            except (KeyError, TypeError, json.JSONDecodeError) as error:
                raise ValueError(f"{path}: not a record of experiment {name} ({error}); delete it and run again") from error
    if not found:
        raise ValueError(f"{out}: no finished experiment there; do `study run dynamics` or `study reproduce` first")
    return found


def _read(path: Path) -> Result:
    table = path / "metrics.parquet"
    if not (path / "done").exists():
        raise ValueError(f"{path}: the run is not finished (no file `done`); run its experiment again")
    try:
        return Result(path, pd.read_parquet(table))
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise ValueError(f"{table}: not a readable table ({error}); delete {path} and run again") from error


def claims(found: list[Record]) -> list[Claim]:
    """All claims, computed from the tables."""
    return [claim for r in found for claim in r.experiment.claims(r.results)]


def save_claims(made: list[Claim], out: Path) -> None:
    write(Path(out) / "claims.json", json.dumps([dataclasses.asdict(c) for c in made], indent=1, allow_nan=True))


def changed(made: list[Claim], out: Path) -> list[str]:
    """Where <out>/claims.json differs from what the tables give: one line each. Empty where there is no such file."""
    path = Path(out) / "claims.json"
    if not path.exists():
        return []
    try:
        stored = {c["id"]: c for c in json.loads(path.read_text())}
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        return [f"{path} is not a list of claims ({error})"]
    fresh = {c.id: dataclasses.asdict(c) for c in made}
    lines = [f"{path}: {i} is missing" for i in fresh.keys() - stored.keys()]
    lines += [f"{path}: {i} has no runs behind it" for i in stored.keys() - fresh.keys()]
    for i in fresh.keys() & stored.keys():
        for field, value in fresh[i].items():
            if repr(stored[i].get(field)) != repr(value):
                lines.append(f"{path}: {i}: {field} is {stored[i].get(field)!r}, but the tables give {value!r}")
    return sorted(lines)
