"""Own runs, by `study fit`: what the page shows of them."""

from pathlib import Path
from typing import Any

from study.report.curves import curves
from study.running import run
from study.running.places import TUNING
from study.terminal import say

SHOWN = 200  # the last to finish


def fits(out: Path) -> list[dict[str, Any]]:
    """The finished runs of `study fit` under `out`, the last to finish first. What is damaged is named and left out."""
    done = sorted((Path(out) / "fit").glob("*/done"), key=lambda path: path.lstat().st_mtime, reverse=True)
    found = []
    for path in done[:SHOWN]:
        try:
            made = curves(run.read(path.parent))
            found.append({"role": f"{made['name']} ({made['objective']}, {made['encoder']})", **made})
        except (ValueError, OSError) as error:  # one that is being done again, too
            say(f"{path.parent}: left out of the page: {error}")
    return found


def unfinished(out: Path) -> int:
    """How many runs have been begun and are not done: they are running, or were interrupted, or failed."""
    begun = (path for runs in ("*", f"*/{TUNING}") for path in Path(out).glob(f"{runs}/*/config.yaml"))
    return sum(not path.with_name("done").exists() for path in begun)
