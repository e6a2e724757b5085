"""One run: what became of it, its command, its configuration, its metrics at the end, and its files."""

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from study.arguments import Parser
from study.running.result import Result
from study.running.run import read
from study.screen import rows
from study.terminal import escaped

EXAMPLES = ("study show runs/fit/run-0123456789ab", "study show runs/pixels/jepa-mlp-*")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study show", description=__doc__, examples=EXAMPLES)
    parser.add_argument("run", type=Path, nargs="+", help="the folder of a run")
    for path in parser.parse_args(arguments).run:
        for line in shown(path):
            print(escaped(line))
    return 0


def shown(path: Path) -> Iterator[str]:
    """Lines about the run in a folder.

    Raises:
        ValueError: there is none, or one of its files is damaged.
    """
    from study.launch.status import Runs

    folder = path.absolute()
    found = Runs(folder.parent.parent, folder.parent.name) if folder.is_dir() and folder.parent.name else ()
    row = next((row for row in found if row.run == f"{folder.parent.name}/{folder.name}"), None)
    if row is None:
        raise ValueError(f"{path}: no run there; give a folder such as runs/fit/run-0123456789ab (`study status` lists all)")
    yield " ".join(["run:", str(path), "", row.state, row.note]).rstrip()
    result = read(path) if row.state == "done" else None
    if result:
        made = result.provenance
        yield f"command: {made['command']}"
        yield f"made: {made['origin']}, finished {made['finished']} after {made['seconds']:g} s on {made['hardware']}, by {made['commit']}"
    if (path / "config.yaml").exists():
        yield "configuration:"
        yield from (f"  {line}" for line in yaml.safe_dump(Result(path).config, sort_keys=False).splitlines())
    if result:
        yield f"metrics at the end, mean [95 % interval] over {result.networks} networks:"
        yield from metrics(result)
    yield "files:"
    for place, _, names in sorted(os.walk(path)):
        yield from (f"  {Path(place, name)}  {Path(place, name).lstat().st_size:,} bytes" for name in sorted(names))


def metrics(result: Result) -> Iterator[str]:
    """The last values of a run. Those of single directions are counted."""
    import numpy as np

    from study.report.curves import NUMBERED
    from study.statistics import interval

    pairs = []
    for metric in sorted(name for name in result.metrics if not NUMBERED.search(name)):
        found = result.rows(metric)
        last = found.step.max()
        mean, low, high = interval(found.value[found.step == last])
        between = f" [{low:.4g}, {high:.4g}]" if np.isfinite(low) else ""
        pairs.append((metric, f"{mean:.4g}{between}, n = {int((found.step == last).sum())}, at {last:,}"))
    yield from rows(pairs)
    if many := len(result.metrics) - len(pairs):
        yield f"  and {many:,} of single directions, in {result.path / 'metrics.parquet'}"
