"""Remove the checkpoints of finished runs, after asking. Their results stay; no run can be probed afterwards.

What is not finished is left alone, as it goes on from its checkpoints.
"""

import os
import stat
import sys
from pathlib import Path

from study.arguments import Parser
from study.commands.common import add_name, add_out
from study.running.run import read
from study.terminal import escaped, say

EXAMPLES = ("study clean", "study clean pixels --out runs --yes")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study clean", description=__doc__, examples=EXAMPLES)
    add_name(parser)
    add_out(parser)
    parser.add_argument("--yes", action="store_true", help="without asking")
    options = parser.parse_args(arguments)
    from study.launch.status import Runs

    rows = list(Runs(options.out, options.name))
    found = {row.run: checkpoints(options.out / row.run) for row in rows if row.state == "done"}
    size = sum(path.lstat().st_size for paths in found.values() for path in paths)
    what = f"{sum(map(len, found.values())):,} checkpoints of {sum(map(bool, found.values())):,} finished runs, {size / 1e6:,.1f} MB"
    print(
        escaped(
            f"{options.out}: {what}; {sum(row.state != 'done' for row in rows):,} runs are not finished and stay as they are"
        )
    )
    if not any(found.values()) or not (options.yes or agreed()):
        print("nothing is removed")
        return 0
    for paths in found.values():
        for path in paths:
            path.unlink()
    print(f"removed: {what}")
    return 0


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run that is done; none of one that is damaged, which is named."""
    try:
        read(folder)
    except ValueError as error:
        say(f"{folder}: left as it is: {error}")
        return []
    place = folder / "checkpoints"
    if place.is_symlink() or not place.is_dir():
        return []
    return [
        Path(entry.path)
        for entry in os.scandir(place)
        if entry.name.endswith(".ckpt") and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
    ]


def agreed() -> bool:
    """Raises ValueError: nobody can be asked."""
    if not sys.stdin.isatty():
        raise ValueError("the input is no terminal, so nobody can be asked; give --yes to remove them")
    try:
        return input("Remove them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
