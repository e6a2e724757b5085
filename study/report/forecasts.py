"""Forecasts, by `study spectrum --out`: what the page shows of them."""

import json
from pathlib import Path

from study.terminal import say

SHOWN = 200  # the last to be made


def forecasts(out: Path) -> list[dict[str, str]]:
    """Of each forecast under `out` the name of its page, what it is of and what it says, the last to be made first. What is damaged is
    named and left out."""
    made = sorted((Path(out) / "forecasts").glob("*.json"), key=lambda path: path.lstat().st_mtime, reverse=True)
    found = []
    for path in made[:SHOWN]:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            found.append({"name": path.stem, **{part: str(told[part]) for part in ("about", "headline")}})
        except (ValueError, KeyError, TypeError, OSError) as error:
            say(f"{path}: left out of the page: {error!r}")
    return found
