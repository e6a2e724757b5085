"""What claims and page need of a record, kept under <out>/cache: computed anew only where a table, the record or the code
has changed, as thousands of tables take minutes to read."""

import dataclasses
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import study
from study.experiments.base import Claim
from study.running.files import checksum, write
from study.running.store import Record


@dataclass(frozen=True)
class Summary:
    """A record's claims, its number of networks, and, where it was asked for, its section of the page."""

    claims: list[Claim]
    networks: int
    section: dict[str, Any] | None


def summarise(record: Record, shown: bool = False) -> Summary:
    """The summary of a record, with its section where it is `shown`."""
    path = record.path.parents[1] / "cache" / record.name / record.path.name
    key = checksum(f"{_code()} {record.key}".encode())
    kept = _kept(path, key)
    if kept and (kept.section or not shown):
        return kept
    made = json.dumps(_made(record, shown), default=str)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, json.dumps({"key": key, "sha256": checksum(made.encode()), "summary": made}))
    except OSError as error:
        _note(f"what was computed of {record.path.parent} is not kept: {path.parent}: {error.strerror}")
    return _read(made)


def claims(found: list[Record]) -> list[Claim]:
    """All claims, as the tables give them."""
    return [claim for record in found for claim in summarise(record).claims]


def _made(record: Record, shown: bool) -> dict[str, Any]:
    experiment, results = record.experiment(), record.results()
    try:
        found = experiment.claims(results)
    except (KeyError, ValueError) as error:  # a record from before there were checksums may lack a run
        raise ValueError(f"{record.path}: its claims cannot be computed: {error}") from error
    made = {
        "claims": [dataclasses.asdict(claim) for claim in found],
        "networks": sum(result.table["network"].nunique() for result in results.values()),
        "section": None,
    }
    if shown:
        from study.report.section import section  # draws

        made["section"] = section(record, experiment, results)
    return made


def _kept(path: Path, key: str) -> Summary | None:
    """What was kept, where it is whole and of this key."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        whole = content["key"] == key and content["sha256"] == checksum(content["summary"].encode())
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged: it can be made again
        return None
    return _read(content["summary"]) if whole else None


def _read(made: str) -> Summary:
    content = json.loads(made)
    return Summary([Claim(**claim) for claim in content["claims"]], content["networks"], content["section"])


@cache
def _code() -> str:
    """Checksum of the code that makes claims and figures of tables."""
    root = Path(study.__path__[0])
    folders = [*(root / name for name in ("experiments", "theory", "report")), root.parent / "datamodules"]
    return checksum(b"".join(path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))))


@cache
def _note(line: str) -> None:
    """Say a thing once."""
    print(f"study: {line}", file=sys.stderr)
