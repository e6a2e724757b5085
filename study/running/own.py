"""The user's own folder, outside all results: what is kept here is trusted further than what lies in a folder of results."""

import os
from pathlib import Path


def folder() -> Path | None:
    """$XDG_CACHE_HOME/jepa-study, by default ~/.cache/jepa-study, for this user alone; none where it cannot be made."""
    try:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jepa-study"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home
        return None
    return path
