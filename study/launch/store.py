"""Records of experiments on disk, and the claims beside them.

<out>/<experiment>/<variant>.json names the options and the runs of one execution of an experiment, so that claims, figures
and the page are made from the tables alone. <out>/claims.json holds the claims as last computed.
"""

import dataclasses
import datetime
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from study.experiments import EXPERIMENTS
from study.experiments.base import Claim, Experiment, Results
from study.files import checksum, component, number, read_json, shown, strict_json, supported, write
from study.running.result import Result
from study.running.run import identity, verify

FORMAT = 2  # of a record
FIELDS = {"options", "runs", "command", "seconds", "finished"}


@dataclass(frozen=True)
class Record:
    """One execution of an experiment, read back: what was asked, which runs it gave, how long it took."""

    path: Path
    options: dict[str, Any]
    runs: dict[str, Path]  # folder by role
    command: str
    seconds: float
    finished: str

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.path.parent.name

    @property
    def variant(self) -> str:
        """Hash of the options."""
        return self.path.stem

    @cached_property
    def key(self) -> str:
        """Checksum of the record and of its runs' files, all of which are checked.

        Raises:
            ValueError: one is missing, damaged or from a newer version; names it.
        """
        content = [
            self.options,
            {role: path.name for role, path in self.runs.items()},
            self.command,
            self.seconds,
            self.finished,
        ]
        return checksum(json.dumps([content, [verify(path) for path in self.runs.values()]], sort_keys=True).encode())

    def experiment(self) -> Experiment:
        """The experiment with the options of this execution.

        Raises:
            ValueError: the options are not this experiment's.
        """
        try:
            return EXPERIMENTS[self.name](**self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: not options of experiment {self.name} ({error}); delete it and run again"
            ) from error

    def results(self) -> Results:
        """The runs by role. Their tables are read when asked for and go with the results: thousands would fill the memory."""
        return {role: Result(path) for role, path in self.runs.items()}


def _options(experiment: Experiment) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(experiment), default=str))


def _signed(content: dict[str, Any]) -> str:
    return checksum(json.dumps(content, sort_keys=True).encode())


def record(experiment: Experiment, results: Results, out: Path, command: str, seconds: float) -> None:
    """Write the record; an execution with the same options replaces the older one (and keeps the longer time, since
    finished runs are skipped)."""
    path = place(experiment, out)
    if path.exists():
        seconds = max(seconds, _content(path)["seconds"])
    content = {
        "format": FORMAT,
        "options": _options(experiment),
        "runs": {role: result.path.name for role, result in results.items()},
        "command": command,
        "seconds": round(seconds, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    write(path, json.dumps({**content, "sha256": _signed(content)}, indent=1))


def place(experiment: Experiment, out: Path) -> Path:
    """The file of an experiment's record."""
    return Path(out) / experiment.name / f"{identity(_options(experiment))}.json"


def records(out: Path) -> list[Record]:
    """All executions under `out`, in the order of the experiments' list.

    Raises:
        ValueError: there is none, or one is damaged or from a newer version.
    """
    found = [load(path) for name in EXPERIMENTS for path in sorted((Path(out) / name).glob("*.json"))]
    if not found:
        raise ValueError(f"{out}: no finished experiment there; do `study run dynamics` or `study reproduce` first")
    return found


def load(path: Path) -> Record:
    """The record in a file.

    Raises:
        ValueError: it is damaged or from a newer version.
    """
    content = _content(path)
    runs = {role: path.parent / component(run, path) for role, run in content.pop("runs").items()}
    return Record(path=path, runs=runs, **{name: content[name] for name in FIELDS - {"runs"}})


def _content(path: Path) -> dict[str, Any]:
    again = "delete it and run again"
    match content := read_json(path):
        case {"options": dict(), "runs": dict(runs), "command": str(), "seconds": seconds, "finished": str()}:
            whole = bool(runs) and number(seconds)
        case _:
            whole = False
    if not whole:
        raise ValueError(f"{path}: not a record of experiment {path.parent.name}, found {shown(content)}; {again}")
    supported(content.get("format"), FORMAT, path)
    if content.pop("sha256", "") != _signed(content):
        raise ValueError(f"{path}: damaged, its checksum is wrong; {again}")
    return content


def claims_json(made: list[Claim]) -> str:
    """Claims as <out>/claims.json has them: null for an open side of a region or interval, and where nothing was measured."""
    return strict_json([dataclasses.asdict(claim) for claim in made])


def save_claims(made: list[Claim], out: Path) -> None:
    write(Path(out) / "claims.json", claims_json(made))


def changed(made: list[Claim], out: Path) -> list[str]:
    """Where <out>/claims.json differs from what the tables give: one line each. Empty where there is no such file."""
    path = Path(out) / "claims.json"
    if not path.exists():
        return []
    try:
        stored = _numbered(read_json(path))
    except (TypeError, KeyError) as error:
        return [f"{path} is not a list of claims ({error})"]
    fresh = _numbered(json.loads(claims_json(made)))
    lines = [f"{path}: {i} is missing" for i in fresh.keys() - stored.keys()]
    lines += [f"{path}: {i} has no runs behind it" for i in stored.keys() - fresh.keys()]
    for i in fresh.keys() & stored.keys():
        for field, value in fresh[i].items():
            if repr(stored[i].get(field)) != repr(value):
                lines.append(f"{path}: {i}: {field} is {stored[i].get(field)!r}, but the tables give {value!r}")
    return sorted(lines)


def _numbered(claims: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Claims by id; executions with other options make claims of the same id, which are told apart by their number."""
    seen: Counter[str] = Counter()
    out = {}
    for claim in claims:
        seen[claim["id"]] += 1
        out[claim["id"] + (f" ({seen[claim['id']]})" if seen[claim["id"]] > 1 else "")] = claim
    return out
