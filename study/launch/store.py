"""Records of experiments on disk, and the claims beside them.

<out>/<experiment>/<variant>.json names the options and the runs of one execution of an experiment, so that claims, figures
and the page are made from the tables alone. <out>/claims.json holds the claims as last computed.
"""

import dataclasses
import datetime
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from study import naming
from study.experiments import EXPERIMENTS, experiment
from study.experiments.base import Claim, Experiment, Results
from study.files import checksum, number, read_json, shown, strict_json, supported, write
from study.running import own
from study.running.inputs import source
from study.running.places import below
from study.running.result import Result
from study.running.run import identity, verify
from study.terminal import say

FORMAT = 3  # of a record
FIELDS = {"options", "runs", "command", "seconds", "finished", "outside", "signature"}
VARIANT = re.compile(r"[0-9a-f]{12}\.json")


@dataclass(frozen=True)
class Record:
    """One execution of an experiment, read back: what was asked, which runs it gave, how long it took. `outside` names the class of
    an experiment that is not this program's; it is imported only where the user's own key has signed the name, as a folder of
    results can be anybody's."""

    path: Path
    options: dict[str, Any]
    runs: dict[str, Path]  # folder by role
    command: str
    seconds: float
    finished: str
    outside: str | None
    signature: str | None

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
        """Checksum of the record, of its runs' files, all of which are checked, and of the source of an experiment from outside.

        Raises:
            ValueError: one is missing, damaged or from a newer version; names it.
        """
        content = [
            self.options,
            {role: path.name for role, path in self.runs.items()},
            self.command,
            self.seconds,
            self.finished,
            source(self.outside) if self.outside and self.kind() else None,
        ]
        return checksum(json.dumps([content, [verify(path) for path in self.runs.values()]], sort_keys=True).encode())

    def kind(self) -> type[Experiment]:
        """The experiment's class.

        Raises:
            ValueError: it is from outside, and cannot be imported, or may not be; says why.
        """
        if self.outside is None:
            return EXPERIMENTS[self.name]
        if not self.signature or self.signature != _signature_of(self.outside):
            raise ValueError(f"{self.outside} is not known to be yours; `study run {self.outside}` makes it so")
        found = experiment(self.outside)
        if found.name != self.name:
            raise ValueError(f"{self.outside}: expected the experiment {self.name}, found {found.name}")
        return found

    def experiment(self) -> Experiment:
        """The experiment with the options of this execution.

        Raises:
            ValueError: the options are not this experiment's, or there is none.
        """
        kind = self.kind()
        try:
            return kind(**self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: not options of experiment {self.name} ({error}); delete it and run again"
            ) from error

    def results(self) -> Results:
        """The runs by role. Their tables are read when asked for and go with the results: thousands would fill the memory."""
        return {role: Result(path) for role, path in self.runs.items()}


def _options(experiment: Experiment) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(experiment), default=str))


def _outside(kind: type[Experiment]) -> str | None:
    """The name of an experiment's class, if it is not this program's."""
    return None if kind.name in EXPERIMENTS else naming.external(f"{kind.__module__}.{kind.__qualname__}")


def _signature_of(name: str) -> str | None:
    """By the user's own key; None without one."""
    key = own.key()
    return None if key is None else hmac.digest(key, f"experiment {name}".encode(), "sha256").hex()


def _signed(content: dict[str, Any]) -> str:
    return checksum(json.dumps(content, sort_keys=True).encode())


def record(experiment: Experiment, results: Results, out: Path, command: str, seconds: float) -> None:
    """Write the record; an execution with the same options replaces the older one (and keeps the longer time, since
    finished runs are skipped)."""
    path = place(experiment, out)
    if path.exists():
        seconds = max(seconds, _content(path)["seconds"])
    outside = _outside(type(experiment))
    content = {
        "format": FORMAT,
        "outside": outside,
        "signature": outside and _signature_of(outside),
        "options": _options(experiment),
        "runs": {role: result.path.relative_to(path.parent).as_posix() for role, result in results.items()},
        "command": command,
        "seconds": round(seconds, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    write(path, json.dumps({**content, "sha256": _signed(content)}, indent=1))


def place(experiment: Experiment, out: Path) -> Path:
    """The file of an experiment's record."""
    return Path(out) / experiment.name / f"{identity(_options(experiment))}.json"


def records(out: Path) -> list[Record]:
    """All executions under `out`, as `executions`.

    Raises:
        ValueError: there is none, or one is damaged or from another version.
    """
    found = executions(out)
    if not found:
        raise ValueError(f"{out}: no finished experiment there; do `study run dynamics` or `study reproduce` first")
    return found


def executions(out: Path) -> list[Record]:
    """All executions under `out`, in the order of the experiments' list; after them those of users' experiments, of which what
    cannot be imported is named and left out.

    Raises:
        ValueError: one is damaged or from another version.
    """
    others = sorted(folder.name for folder in Path(out).glob("*/") if folder.name not in EXPERIMENTS)
    paths = [path for name in (*EXPERIMENTS, *others) for path in sorted((Path(out) / name).glob("*.json"))]
    return [record for path in paths if VARIANT.fullmatch(path.name) and _here(record := load(path))]


def _here(record: Record) -> bool:
    try:
        record.kind()
    except ValueError as error:
        _note(f"{record.path}: left out: {error}")
        return False
    return True


@cache
def _note(line: str) -> None:
    say(line)


def load(path: Path) -> Record:
    """The record in a file.

    Raises:
        ValueError: it is damaged or from a newer version.
    """
    content = _content(path)
    runs = {role: below(path.parent, run, path) for role, run in content.pop("runs").items()}
    return Record(path=path, runs=runs, **{name: content[name] for name in FIELDS - {"runs"}})


def _content(path: Path) -> dict[str, Any]:
    again = "delete it and run again"
    content = read_json(path)
    problem = f"{path}: not a record of experiment {path.parent.name}, found {shown(content)}; {again}"
    match content:
        case {"options": dict(), "runs": dict(runs), "command": str(), "seconds": seconds, "finished": str()}:
            whole = bool(runs) and number(seconds)
        case _:
            whole = False
    if not whole:
        raise ValueError(problem)
    supported(content.get("format"), FORMAT, path)
    match content:
        case {"outside": None, "signature": None}:
            whole = path.parent.name in EXPERIMENTS
        case {"outside": str(), "signature": str() | None}:
            whole = path.parent.name not in EXPERIMENTS
        case _:
            whole = False
    if not whole:
        raise ValueError(problem)
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
